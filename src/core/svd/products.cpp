// Products with the matrix, and random blocks (svd/internal.hpp). Work is divided into tasks of a few milliseconds
// whose size depends only on the shapes, so any number of threads gives the same sums.
#include "svd/internal.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous::svd_detail {
namespace {

// How many of `whole` units, each of `cost` multiplications, make a task of some 3 ms.
Index task_size(Index whole, Index cost) {
  constexpr Index multiplications = Index{1} << 26;
  const Index size = (multiplications / std::max<Index>(cost, 1) + 63) / 64 * 64;
  return std::clamp<Index>(size, 64, std::max<Index>(whole, 64));
}

std::size_t tasks(Index whole, Index size) { return static_cast<std::size_t>((whole + size - 1) / size); }

// The finalizer of splitmix64: a 64-bit hash of a position.
std::uint64_t hash(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

void operand::rows_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const {
  const Index rows = data_.rows(), size = task_size(rows, data_.cols() * x.cols());
  pool_.run(tasks(rows, size), interrupts_, [&](std::size_t t) {
    const Index from = static_cast<Index>(t) * size, height = std::min(size, rows - from);
    out.middleRows(from, height).noalias() = data_.middleRows(from, height) * x;
  });
}

void operand::columns_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const {
  const Index columns = data_.cols(), size = task_size(columns, data_.rows() * x.cols());
  pool_.run(tasks(columns, size), interrupts_, [&](std::size_t t) {
    const Index from = static_cast<Index>(t) * size, width = std::min(size, columns - from);
    out.middleRows(from, width).noalias() = data_.middleCols(from, width).transpose() * x;
  });
}

// An Eigen::Ref is passed by value: it is the reference, and a const one could not be written through.
// NOLINTBEGIN(performance-unnecessary-value-param)
void operand::times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const {
  transposed_ ? columns_times(x, out) : rows_times(x, out);
}

void operand::transpose_times(const Eigen::Ref<const MatrixXf>& x, Eigen::Ref<MatrixXf> out) const {
  transposed_ ? rows_times(x, out) : columns_times(x, out);
}

// NOLINTEND(performance-unnecessary-value-param)

// Each panel of the long side is converted once, and each task adds its product to one block column of the sum.
MatrixXd operand::gram() const {
  constexpr Index panel = 256, part = 256;
  const Index n = short_side(), length = long_side();
  MatrixXd sum = MatrixXd::Zero(n, n), slice(n, panel);
  for (Index from = 0; from < length; from += panel) {
    const Index width = std::min(panel, length - from);
    auto a = slice.leftCols(width);
    if (transposed_) {
      a = data_.middleRows(from, width).transpose().cast<double>();
    } else {
      a = data_.middleCols(from, width).cast<double>();
    }
    pool_.run(tasks(n, part), interrupts_, [&](std::size_t t) {
      const Index begin = static_cast<Index>(t) * part, columns = std::min(part, n - begin), height = n - begin;
      sum.block(begin, begin, height, columns).noalias() +=
          a.bottomRows(height) * a.middleRows(begin, columns).transpose();
    });
  }
  return sum;
}

MatrixXd gram_of_columns(const Eigen::Ref<const MatrixXf>& x, thread_pool& pool, interrupt_checker& interrupts) {
  constexpr Index panel = 1024, part = 128;
  const Index n = x.cols(), length = x.rows();
  MatrixXd sum = MatrixXd::Zero(n, n), slice(panel, n);
  for (Index from = 0; from < length; from += panel) {
    const Index height = std::min(panel, length - from);
    auto a = slice.topRows(height);
    a = x.middleRows(from, height).cast<double>();
    pool.run(tasks(n, part), interrupts, [&](std::size_t t) {
      const Index begin = static_cast<Index>(t) * part, columns = std::min(part, n - begin), rest = n - begin;
      sum.block(begin, begin, rest, columns).noalias() += a.rightCols(rest).transpose() * a.middleCols(begin, columns);
    });
  }
  return sum;
}

void fill_random(std::uint64_t seed, std::uint64_t stream, Eigen::Ref<MatrixXf> out) {
  std::uint64_t at = hash(hash(seed) + stream);
  for (Index j = 0; j < out.cols(); ++j) {
    for (Index i = 0; i < out.rows(); ++i) {
      const std::uint64_t bits = hash(at++);
      std::int64_t sum = 0;
      for (int part = 0; part < 64; part += 16) sum += static_cast<std::int64_t>(bits >> part & 0xffff);
      out(i, j) = static_cast<float>(sum - 2 * 0xffff) / 65536.0f;
    }
  }
}

}  // namespace hartonomous::svd_detail
