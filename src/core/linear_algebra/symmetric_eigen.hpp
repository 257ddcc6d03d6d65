// All eigenvalues of a symmetric matrix of any size, and eigenvectors of the largest ones, in double, interruptible.
#pragma once

#include "linear_algebra/eigen.hpp"

#include <cstddef>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

class symmetric_eigen {
 public:
  // Reads the lower triangle.
  symmetric_eigen(Eigen::MatrixXd matrix, thread_pool& pool, interrupt_checker& interrupts);

  // All eigenvalues, descending.
  const Eigen::VectorXd& values() const noexcept { return values_; }
  // Eigenvectors of the `count` largest eigenvalues, as columns. They are orthonormal, except perhaps those of equal
  // eigenvalues.
  Eigen::MatrixXd vectors(Eigen::Index count) const;

  // Memory in bytes, including the matrix and `count` vectors.
  static std::size_t work_bytes(std::size_t size, std::size_t count);

 private:
  void tridiagonalize();
  Eigen::MatrixXd all_tridiagonal_vectors() const;
  Eigen::MatrixXd some_tridiagonal_vectors(Eigen::Index from, Eigen::Index count) const;
  void apply_reflections(Eigen::Ref<Eigen::MatrixXd> vectors) const;

  // matrix = Q T Qᵀ. Below the diagonal it holds the reflections that make up Q, without their scales.
  Eigen::MatrixXd matrix_;
  Eigen::VectorXd values_;
  Eigen::VectorXd diagonal_, subdiagonal_;  // of T; the latter has an unused last element
  Eigen::VectorXd scales_;
  thread_pool& pool_;
  interrupt_checker& interrupts_;
};

}  // namespace hartonomous
