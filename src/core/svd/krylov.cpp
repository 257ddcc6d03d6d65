// The leading singular values from a block Krylov space (svd/internal.hpp).
//
// Q is an orthonormal basis of the space on the short side and B = Aᵀ Q, so the best approximation of A from the space
// is Q times the truncated singular value decomposition of Bᵀ. Both grow by a block at a time: the new part of B costs
// one pass over A, and the next block of Q, A orth(Aᵀ Qlast), another one; nothing is computed twice.
#include <algorithm>
#include <cstdint>
#include <utility>

#include "linear_algebra/symmetric_eigen.hpp"
#include "svd/internal.hpp"

namespace hartonomous::svd_detail {
namespace {

// The excess of the error at which to stop, a little less than the header promises, and the share of a sum of squares
// that is rounding.
constexpr double wanted_excess = 1.5e-4;
constexpr double rounding = 3e-8;
// Lengths below which squares or inverses approach the ends of float's range, and the smallest pivot of the Cholesky
// factor of unit vectors that are well separated.
constexpr double shortest = 1e-12, independent = 0.1;

Index block_width(Index limit) { return std::clamp<Index>((3 * limit / 4 + 15) / 16 * 16, 16, 64); }

double sum_of_first(const VectorXd& squares, Index count) {
  return squares.head(std::min(count, squares.size())).sum();
}

class krylov_space {
 public:
  explicit krylov_space(const operand& a, Index capacity)
      : a_(a), basis_(a.short_side(), capacity), images_(a.long_side(), capacity), gram_(capacity, capacity) {}

  Index size() const noexcept { return size_; }
  Index capacity() const noexcept { return images_.cols(); }

  // Grows by A times a random block: at the start, or to find new directions where the space is closed under A Aᵀ.
  bool grow_at_random(Index width, std::uint64_t seed) {
    MatrixXf random(a_.long_side(), width), block(a_.short_side(), width);
    fill_random(seed, static_cast<std::uint64_t>(size_), random);
    a_.times(random, block);
    return append(std::move(block));
  }

  // Grows by the next block; false if there is no new direction.
  bool grow() {
    const MatrixXf directions = last_directions();
    if (directions.cols() == 0) return false;
    MatrixXf block(a_.short_side(), directions.cols());
    a_.times(directions, block);
    return append(std::move(block));
  }

  // The sum of squares captured by the space.
  double energy() const { return gram_.topLeftCorner(size_, size_).trace(); }

  // Bᵀ B, whose eigenvalues are the squares of the singular values of A within the space.
  symmetric_eigen eigen() const { return {gram_.topLeftCorner(size_, size_), a_.pool(), a_.interrupts()}; }

  triplets leading(const symmetric_eigen& solved, Index count) const {
    const MatrixXf vectors = solved.vectors(count).cast<float>();
    triplets result{MatrixXf(a_.short_side(), count), MatrixXf(a_.long_side(), count),
                    solved.values().head(count).cwiseMax(0.0).cwiseSqrt()};
    multiply(basis_.columns(), vectors, result.left);
    multiply(images_.leftCols(size_), vectors, result.right);
    return result;
  }

 private:
  // An orthonormal basis of the last part of B. If its columns are far from dependent, which is the rule, it follows
  // from their Gram matrix, which is already known; nearly orthonormal is enough.
  MatrixXf last_directions() const {
    const auto images = images_.middleCols(size_ - last_, last_);
    const MatrixXd gram = gram_.block(size_ - last_, size_ - last_, last_, last_);
    const VectorXd lengths = gram.diagonal().cwiseSqrt();
    if (lengths.minCoeff() > shortest) {
      const VectorXd scales = lengths.cwiseInverse();
      const Eigen::LLT<MatrixXd> cholesky(scales.asDiagonal() * gram * scales.asDiagonal());
      if (cholesky.info() == Eigen::Success && cholesky.matrixLLT().diagonal().minCoeff() > independent) {
        const MatrixXd inverse = scales.asDiagonal() * inverse_upper(cholesky);
        MatrixXf directions(images.rows(), last_);
        multiply(images, inverse.cast<float>(), directions);
        return directions;
      }
    }
    orthonormal_basis directions(images.rows(), last_);
    directions.append(images, false, 0, a_.pool(), a_.interrupts());
    return directions.columns();
  }

  bool append(MatrixXf block) {
    last_ = basis_.append(std::move(block), false, 0, a_.pool(), a_.interrupts());
    if (last_ == 0) return false;
    a_.transpose_times(basis_.last(last_), images_.middleCols(size_, last_));
    extend_gram();
    size_ += last_;
    return true;
  }

  // Computes the new rows of Bᵀ B by panels of the long side.
  void extend_gram() {
    constexpr Index panel = 256;
    const Index columns = size_ + last_, length = a_.long_side();
    auto rows = gram_.block(size_, 0, last_, columns);
    rows.setZero();
    MatrixXd slice(std::min(panel, length), columns);
    for (Index from = 0; from < length; from += panel) {
      a_.interrupts().check();
      auto part = slice.topRows(std::min(panel, length - from));
      part = images_.block(from, 0, part.rows(), columns).cast<double>();
      rows.noalias() += part.rightCols(last_).transpose() * part;
    }
  }

  void multiply(const Eigen::Ref<const MatrixXf>& tall, const MatrixXf& small, MatrixXf& out) const {
    constexpr Index part = 1024;
    const Index rows = tall.rows();
    a_.pool().run(static_cast<std::size_t>((rows + part - 1) / part), a_.interrupts(), [&](std::size_t t) {
      const Index from = static_cast<Index>(t) * part, height = std::min(part, rows - from);
      out.middleRows(from, height).noalias() = tall.middleRows(from, height) * small;
    });
  }

  const operand& a_;
  orthonormal_basis basis_;
  MatrixXf images_;  // B
  MatrixXd gram_;    // BᵀB, lower triangle
  Index size_ = 0, last_ = 0;
};

// Observes how much the sum of the leading squares grows at each check. It grows less each time. The iteration has
// converged when the ratio of the last two gains implies that all further ones together are negligible beside the
// remaining error.
class convergence {
 public:
  explicit convergence(double total) : total_(total) {}

  bool reached(const VectorXd& squares, Index rank) {
    const double sum = sum_of_first(squares, rank), gain = sum - sum_of_first(previous_, rank);
    const double gain_before = sum_of_first(previous_, rank) - sum_of_first(before_, rank);
    const bool known = before_.size() >= rank && rank > 0;
    before_ = std::exchange(previous_, squares);
    if (!known) return false;
    const double ratio = gain_before > 0 ? std::clamp(gain / gain_before, 0.0, 0.9) : 0.9;
    const double to_come = gain * ratio / (1.0 - ratio);
    const double left = std::max(total_ - sum, 0.0);
    return to_come <= std::max(2.0 * wanted_excess * left, rounding * total_);
  }

 private:
  double total_;
  VectorXd previous_, before_;
};

}  // namespace

bool is_krylov_worthwhile(Index short_side, Index limit) { return short_side > 256 && limit <= short_side / 5; }

Index krylov_capacity(Index short_side, Index limit) {
  return std::min(short_side, 6 * limit + 8 * block_width(limit));
}

std::optional<triplets> krylov_triplets(const operand& a, const goal& wanted) {
  // If only the energy is given, the rank is not known in advance: from a third of the side on, the Gram matrix is
  // cheaper.
  const bool open = !is_krylov_worthwhile(a.short_side(), wanted.limit);
  const Index width = open ? 32 : block_width(wanted.limit);
  const Index capacity = open ? a.short_side() / 3 : krylov_capacity(a.short_side(), wanted.limit);
  krylov_space space(a, capacity);
  space.grow_at_random(width, wanted.seed);
  convergence progress(wanted.total);
  Index next_look = open ? 2 * width : std::min(2 * wanted.limit, capacity);
  for (bool complete = false;;) {
    if (complete || space.size() >= next_look || space.size() == capacity) {
      const symmetric_eigen solved = space.eigen();
      const VectorXd squares = solved.values().cwiseMax(0.0);
      const std::optional<Index> rank = wanted.rank_by(squares);
      if (rank && progress.reached(squares, *rank)) return space.leading(solved, *rank);
      if (complete || (space.size() == capacity && !open)) {
        return space.leading(solved, rank.value_or(std::min(squares.size(), wanted.limit)));
      }
      if (space.size() == capacity) return std::nullopt;
      next_look = space.size() + std::max(width, space.size() / 8);
    }
    const bool grown = space.grow() || (space.energy() < wanted.total * (1.0 - 4.0 * rounding) &&
                                        space.grow_at_random(width, wanted.seed));
    complete = !grown || space.size() == a.short_side();
  }
}

}  // namespace hartonomous::svd_detail
