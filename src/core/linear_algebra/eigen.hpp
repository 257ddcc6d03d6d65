// Eigen, included only through here: its assertions throw instead of aborting the process, in every build. In a
// database server an abort would take every session down.
#pragma once

#include <stdexcept>

#define eigen_assert(condition)                                     \
  do {                                                              \
    if (!(condition)) throw std::logic_error("Eigen: " #condition); \
  } while (false)

#include <Eigen/Core>
#include <Eigen/Eigenvalues>
