// The inverse of the Cholesky factor of a positive definite matrix, in double, interruptible (factor.cpp).
#pragma once

#include "linear_algebra/eigen.hpp"

#include "hartonomous/interrupt.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::hessian_detail {

// Row-major, because rows of the reversed matrix are written one after the other.
using square_matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using square_view = Eigen::Ref<square_matrix>;  // of contiguous rows

// The lower triangle of `matrix` = L Lᵀ becomes that of L⁻¹; what is above the diagonal must be zero and stays so.
// False if the matrix is not positive definite; its contents are then undefined.
bool invert_factor(square_view matrix, thread_pool& pool, interrupt_checker& interrupts);

// The lower triangle of a symmetric matrix, above which it must be zero, becomes the whole inverse. False if the matrix
// is not positive definite.
bool invert(square_view matrix, thread_pool& pool, interrupt_checker& interrupts);

// Turns a small symmetric positive definite matrix (row-major, both triangles, size x size) into the upper triangular C
// with C transposed times C = its inverse. False if it is not positive definite.
bool invert_small(double* matrix, std::size_t size);

}  // namespace hartonomous::hessian_detail
