// Eigen, included only through here: its assertions throw instead of aborting the process, in every build. In a
// database server an abort would take every session down.
//
// Its large products are OpenBLAS's, which has kernels for every processor in one build (Eigen alone would be held to
// what the compiler may assume). Whoever uses them needs an object of hartonomous/workers.hpp alive: it keeps OpenBLAS
// from making threads of its own.
#pragma once

#include <stdexcept>

#define eigen_assert(condition)                                     \
  do {                                                              \
    if (!(condition)) throw std::logic_error("Eigen: " #condition); \
  } while (false)

#define EIGEN_USE_BLAS

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>
