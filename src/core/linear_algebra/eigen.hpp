// All code includes Eigen through this file: its assertions throw instead of aborting the process, in every build. In a
// database server an abort would end every session.
//
// Its large products are computed by OpenBLAS, which has kernels for every processor in one build (Eigen alone would be
// limited to the instructions the compiler may assume). Their callers must hold an object of
// hartonomous/thread_pool.hpp, which keeps OpenBLAS from creating threads of its own.
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
