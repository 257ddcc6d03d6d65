// An orthonormal basis by block Gram-Schmidt (svd/internal.hpp), repeated as often as cancellation requires (Giraud,
// Langou, Rozloznik, The loss of orthogonality in the Gram-Schmidt orthogonalization process, 2005).
#include "svd/internal.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>

#include "hartonomous/statistics.hpp"

namespace hartonomous::svd_detail {
namespace {

constexpr Index block = 64;

// If projections leave less than this share of a column's length, it depends on the others: the rest is rounding.
constexpr float negligible_share = 1e-5f;
// If the Cholesky factor of a block has a smaller pivot than this, its columns are added one by one.
constexpr double least_pivot = 1e-3;
// A pass that leaves at least this share of the length is the last one.
constexpr float kept_share = 0.5f;

// Normalizes the columns, except negligible ones, because squares of tiny or huge numbers would leave the range of
// float. Returns the original lengths.
VectorXf normalize(Eigen::Ref<MatrixXf> x, float negligible_below) {
  VectorXf lengths(x.cols());
  for (Index j = 0; j < x.cols(); ++j) {
    running_sum squares;
    squares.add_squares(x.col(j).data(), static_cast<std::size_t>(x.rows()));
    lengths[j] = static_cast<float>(std::sqrt(squares.total()));
    if (lengths[j] > negligible_below) x.col(j) /= lengths[j];
  }
  return lengths;
}

}  // namespace

MatrixXd inverse_upper(const Eigen::LLT<MatrixXd>& cholesky) {
  return cholesky.matrixU().solve(MatrixXd::Identity(cholesky.rows(), cholesky.cols()));
}

// x -= Q Qᵀ x, by blocks of Q's columns, then of x's rows.
void orthonormal_basis::remove_projections(Eigen::Ref<MatrixXf> x, thread_pool& pool,
                                           interrupt_checker& interrupts) const {
  if (size_ == 0) return;
  constexpr Index part = 64, rows_part = 1024;
  MatrixXf products(size_, x.cols());
  pool.run(static_cast<std::size_t>((size_ + part - 1) / part), interrupts, [&](std::size_t t) {
    const Index from = static_cast<Index>(t) * part, width = std::min(part, size_ - from);
    products.middleRows(from, width).noalias() = columns_.middleCols(from, width).transpose() * x;
  });
  const Index rows = x.rows();
  pool.run(static_cast<std::size_t>((rows + rows_part - 1) / rows_part), interrupts, [&](std::size_t t) {
    const Index from = static_cast<Index>(t) * rows_part, height = std::min(rows_part, rows - from);
    x.middleRows(from, height).noalias() -= columns_.middleRows(from, height).leftCols(size_) * products;
  });
}

// Projects against all columns until a pass takes little away: only then is the rest orthogonal to them.
bool orthonormal_basis::append_column(MatrixXf column, thread_pool& pool, interrupt_checker& interrupts) {
  if (size_ == columns_.cols()) return false;
  for (float length = 1.0f;;) {
    remove_projections(column, pool, interrupts);
    const float left = normalize(column, 0.0f)[0];
    length *= left;
    if (!(length > negligible_share)) return false;
    if (left > kept_share) break;
  }
  columns_.col(size_++) = column;
  return true;
}

// Adds a block of columns at once; false if they are too dependent.
bool orthonormal_basis::append_block(Eigen::Ref<MatrixXf> x, thread_pool& pool, interrupt_checker& interrupts) {
  if (size_ + x.cols() > columns_.cols()) return false;
  for (double smallest = 0.0; smallest < double{kept_share};) {
    remove_projections(x, pool, interrupts);
    // x inv(R) for the Cholesky factor RᵀR = xᵀx, which is computed in double.
    const MatrixXd wide = x.cast<double>();
    const Eigen::LLT<MatrixXd> cholesky(wide.transpose() * wide);
    if (cholesky.info() != Eigen::Success) return false;
    smallest = cholesky.matrixLLT().diagonal().minCoeff();
    if (!(smallest > least_pivot)) return false;
    x = (x * inverse_upper(cholesky).cast<float>()).eval();
  }
  columns_.middleCols(size_, x.cols()) = x;
  size_ += x.cols();
  return true;
}

void orthonormal_basis::append_random(std::uint64_t seed, thread_pool& pool, interrupt_checker& interrupts) {
  const Index wanted = size_ + 1;
  for (std::uint64_t attempt = 0; size_ < wanted && size_ < columns_.rows(); ++attempt) {
    MatrixXf fresh(columns_.rows(), 1);
    fill_random(seed, static_cast<std::uint64_t>(size_) << 8 | attempt, fresh);
    normalize(fresh, 0.0f);
    append_column(std::move(fresh), pool, interrupts);
  }
}

Index orthonormal_basis::append(MatrixXf x, bool replace, std::uint64_t seed, thread_pool& pool,
                                interrupt_checker& interrupts) {
  const Index before = size_;
  for (Index from = 0; from < x.cols(); from += block) {
    const Index width = std::min(block, x.cols() - from);
    auto part = x.middleCols(from, width);
    normalize(part, 0.0f);
    remove_projections(part, pool, interrupts);
    // The rest may be short, so that rounding weighs more. It is normalized and projected again.
    const VectorXf left = normalize(part, negligible_share);
    if (left.minCoeff() > negligible_share && append_block(part, pool, interrupts)) continue;
    for (Index j = 0; j < width; ++j) {
      interrupts.check();
      const bool added = left[j] > negligible_share && append_column(part.col(j), pool, interrupts);
      if (!added && replace) append_random(seed, pool, interrupts);
    }
  }
  return size_ - before;
}

}  // namespace hartonomous::svd_detail
