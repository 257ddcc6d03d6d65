// The parts of the decomposition (hartonomous/svd.hpp): products with the matrix, an orthonormal basis that grows, and
// the two methods for the singular values.
#pragma once

#include "linear_algebra/eigen.hpp"

#include <cstdint>
#include <optional>

#include "hartonomous/svd.hpp"

namespace hartonomous::svd_detail {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::MatrixXf;
using Eigen::VectorXd;
using Eigen::VectorXf;

// The matrix, transposed if necessary so that its shorter side comes first: short_side() x long_side().
class operand {
 public:
  operand(span<const float> matrix, std::size_t rows, std::size_t columns, thread_pool& pool,
          interrupt_checker& interrupts)
      : data_(matrix.data(), static_cast<Index>(rows), static_cast<Index>(columns)),
        transposed_(rows > columns),
        pool_(pool),
        interrupts_(interrupts) {}

  bool transposed() const noexcept { return transposed_; }
  Index short_side() const noexcept { return transposed_ ? data_.cols() : data_.rows(); }
  Index long_side() const noexcept { return transposed_ ? data_.rows() : data_.cols(); }

  // out = A x (short_side() rows), out = Aᵀ x (long_side() rows).
  void times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const;
  void transpose_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const;
  // The lower triangle of A Aᵀ, in double.
  MatrixXd gram() const;

  thread_pool& pool() const noexcept { return pool_; }
  interrupt_checker& interrupts() const noexcept { return interrupts_; }

 private:
  using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  void rows_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const;
  void columns_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const;

  Eigen::Map<const row_major> data_;
  bool transposed_;
  thread_pool& pool_;
  interrupt_checker& interrupts_;
};

// The sum of squares; 22003 if there is NaN, infinity, or so large a number that squares might overflow.
double checked_total(span<const float> matrix, interrupt_checker& interrupts);

// Approximately normal random numbers (the sum of four uniform ones), which depend only on the position and are the
// same on every machine.
void fill_random(std::uint64_t seed, std::uint64_t stream, Eigen::Ref<MatrixXf> out);

// The lower triangle of xᵀ x, in double.
MatrixXd gram_of_columns(const Eigen::Ref<const MatrixXf>& x, thread_pool& pool, interrupt_checker& interrupts);

// inv(R) of the Cholesky factorization RᵀR, which makes columns with that Gram matrix orthonormal.
MatrixXd inverse_upper(const Eigen::LLT<MatrixXd>& cholesky);

// A growing set of orthonormal columns.
class orthonormal_basis {
 public:
  orthonormal_basis(Index rows, Index capacity) : columns_(rows, capacity) {}
  Index size() const noexcept { return size_; }
  auto columns() const { return columns_.leftCols(size_); }
  auto last(Index count) const { return columns_.middleCols(size_ - count, count); }

  // Adds the directions of x that are new. For columns that are not (up to rounding) it adds nothing or, with
  // `replace`, a random direction, so that each column of x has a counterpart. Returns how many were added.
  Index append(MatrixXf x, bool replace, std::uint64_t seed, thread_pool& pool, interrupt_checker& interrupts);

 private:
  void remove_projections(Eigen::Ref<MatrixXf> x, thread_pool& pool, interrupt_checker& interrupts) const;
  bool append_block(Eigen::Ref<MatrixXf> x, thread_pool& pool, interrupt_checker& interrupts);
  bool append_column(MatrixXf column, thread_pool& pool, interrupt_checker& interrupts);
  void append_random(std::uint64_t seed, thread_pool& pool, interrupt_checker& interrupts);

  MatrixXf columns_;
  Index size_ = 0;
};

// Singular values, descending, and vectors as columns (left ones on the short side), nearly orthonormal. Right vectors
// may be zero where values are.
struct triplets {
  MatrixXf left, right;
  VectorXd values;
};

// The wanted accuracy, for a matrix whose sum of squares is `total`, which is not 0.
struct goal {
  Index limit;  // largest rank
  double energy;
  double total;
  std::uint64_t seed;

  // How many of the squares (those of the matrix's largest singular values, descending) are enough; no value if they
  // are not and there may be more.
  std::optional<Index> rank_by(const VectorXd& squares) const;
};

// The first uses the Gram matrix. The second uses a Krylov space, and returns nothing if that would have to be too
// large to be worthwhile.
triplets dense_triplets(const operand& a, const goal& wanted);
std::optional<triplets> krylov_triplets(const operand& a, const goal& wanted);

// Whether a Krylov space is tried at all, and its largest dimension.
bool is_krylov_worthwhile(Index short_side, Index limit);
Index krylov_capacity(Index short_side, Index limit);

}  // namespace hartonomous::svd_detail
