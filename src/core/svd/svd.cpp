// truncated_svd(): checks, the choice of the method, and the result in the promised form (hartonomous/svd.hpp).
#include "hartonomous/svd.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "hartonomous/error.hpp"
#include "hartonomous/statistics.hpp"
#include "linear_algebra/symmetric_eigen.hpp"
#include "svd/internal.hpp"

namespace hartonomous {
namespace svd_detail {

std::optional<Index> goal::rank_by(const VectorXd& squares) const {
  if (energy < 1.0) {
    double sum = 0.0;
    for (Index i = 0; i < std::min(limit, squares.size()); ++i) {
      sum += squares[i];
      if (sum >= energy * total) return i + 1;
    }
  }
  return squares.size() >= limit ? std::optional<Index>(limit) : std::nullopt;
}

double checked_total(span<const float> matrix, interrupt_checker& interrupts) {
  constexpr std::size_t chunk = 1 << 18;
  running_sum sum;
  for (std::size_t from = 0; from < matrix.size(); from += chunk) {
    interrupts.check();
    const std::size_t count = std::min(chunk, matrix.size() - from);
    sum.add_squares(matrix.data() + from, count);
    if (std::isfinite(sum.total())) continue;
    const float* wrong = std::find_if(matrix.begin() + from, matrix.end(), [](float x) { return !std::isfinite(x); });
    throw error(sqlstate::numeric_value_out_of_range, "matrix has NaN or infinity",
                "The first is at position " + std::to_string(wrong - matrix.begin() + 1) + ".");
  }
  constexpr double largest = 1e37;
  if (sum.total() > largest * largest) {
    throw error(sqlstate::numeric_value_out_of_range, "matrix has numbers that are too large",
                "Its singular values might be out of range for type real.");
  }
  return sum.total();
}

namespace {

// Rows of `out` are the columns of `in`.
void store_transposed(const MatrixXf& in, std::vector<float>& out, interrupt_checker& interrupts) {
  out.resize(static_cast<std::size_t>(in.size()));
  interrupts.check();
  std::copy(in.data(), in.data() + in.size(), out.begin());
}

void store(const MatrixXf& in, std::vector<float>& out, interrupt_checker& interrupts) {
  constexpr Index panel = 512;
  out.resize(static_cast<std::size_t>(in.size()));
  Eigen::Map<Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>> target(out.data(), in.rows(),
                                                                                           in.cols());
  for (Index from = 0; from < in.rows(); from += panel) {
    interrupts.check();
    const Index height = std::min(panel, in.rows() - from);
    target.middleRows(from, height) = in.middleRows(from, height);
  }
}

// Makes columns orthonormal up to rounding, whatever accuracy was lost before. Zero columns become random ones.
MatrixXf orthonormal(MatrixXf columns, std::uint64_t seed, const operand& a) {
  orthonormal_basis basis(columns.rows(), columns.cols());
  basis.append(std::move(columns), true, seed + 1, a.pool(), a.interrupts());
  return basis.columns();
}

svd_factors finish(triplets found, const operand& a, const goal& wanted) {
  const Index rank = found.values.size();
  MatrixXf left = orthonormal(std::move(found.left), wanted.seed, a);
  MatrixXf right = orthonormal(std::move(found.right), wanted.seed, a);
  MatrixXf &u = a.transposed() ? right : left, &v = a.transposed() ? left : right;
  for (Index i = 0; i < rank; ++i) {
    Index peak = 0;
    v.col(i).cwiseAbs().maxCoeff(&peak);
    if (v(peak, i) < 0) {
      v.col(i) = -v.col(i);
      u.col(i) = -u.col(i);
    }
  }
  svd_factors result;
  result.rank = static_cast<std::size_t>(rank);
  result.s.resize(result.rank);
  for (Index i = 0; i < rank; ++i) result.s[static_cast<std::size_t>(i)] = static_cast<float>(found.values[i]);
  result.explained_variance = std::min(found.values.squaredNorm() / wanted.total, 1.0);
  store(u, result.u, a.interrupts());
  store_transposed(v, result.vt, a.interrupts());
  return result;
}

// The decomposition of a zero matrix: values of zero, with any orthonormal vectors.
triplets of_zeros(const operand& a, Index rank) {
  return {MatrixXf::Zero(a.short_side(), rank), MatrixXf::Zero(a.long_side(), rank), VectorXd::Zero(rank)};
}

// Fills up the wanted rank with values of zero.
void pad(triplets& found, Index rank) {
  const Index have = found.values.size();
  if (have >= rank) return;
  found.left.conservativeResize(Eigen::NoChange, rank);
  found.right.conservativeResize(Eigen::NoChange, rank);
  found.values.conservativeResize(rank);
  found.left.rightCols(rank - have).setZero();
  found.right.rightCols(rank - have).setZero();
  found.values.tail(rank - have).setZero();
}

triplets find(const operand& a, const goal& wanted) {
  if (wanted.total == 0.0) return of_zeros(a, wanted.energy < 1.0 ? 1 : wanted.limit);
  if (is_krylov_worthwhile(a.short_side(), wanted.limit) || (wanted.energy < 1.0 && a.short_side() > 512)) {
    if (std::optional<triplets> found = krylov_triplets(a, wanted)) {
      if (!(wanted.energy < 1.0)) pad(*found, wanted.limit);
      return std::move(*found);
    }
  }
  return dense_triplets(a, wanted);
}

Index rank_limit(std::size_t rows, std::size_t columns, const svd_request& request) {
  const std::size_t most = std::min(rows, columns);
  return static_cast<Index>(request.rank == 0 ? most : std::min(request.rank, most));
}

}  // namespace
}  // namespace svd_detail

using namespace svd_detail;

svd_factors truncated_svd(span<const float> matrix, std::size_t rows, std::size_t columns, const svd_request& request,
                          thread_pool& pool, interrupt_checker& interrupts) {
  if (rows == 0 || columns == 0) throw error(sqlstate::invalid_parameter_value, "matrix has no rows or no columns");
  if (!(request.energy > 0.0)) throw error(sqlstate::invalid_parameter_value, "energy must be above 0");
  const operand a(matrix, rows, columns, pool, interrupts);
  const goal wanted{rank_limit(rows, columns, request), request.energy, checked_total(matrix, interrupts),
                    request.seed};
  svd_factors result = finish(find(a, wanted), a, wanted);
  result.rows = rows;
  result.columns = columns;
  if (wanted.total == 0.0) result.explained_variance = 1.0;
  return result;
}

std::uint64_t svd_work_bytes(std::size_t rows, std::size_t columns, const svd_request& request) {
  const Index limit = rank_limit(rows, columns, request), side = static_cast<Index>(std::min(rows, columns));
  const auto rank = static_cast<std::uint64_t>(limit), both = std::uint64_t{rows} + columns;
  // Vectors as found, orthonormal, and in the result.
  const std::uint64_t result = 3 * sizeof(float) * rank * both;
  std::uint64_t work = 0;
  const bool krylov = is_krylov_worthwhile(side, limit);
  if (krylov) {
    const auto space = static_cast<std::uint64_t>(krylov_capacity(side, limit));
    work = sizeof(float) * space * both + symmetric_eigen::work_bytes(space, rank) + sizeof(double) * space * space;
  } else {
    const auto size = static_cast<std::uint64_t>(side);
    work = 2 * sizeof(double) * size * size / 2 + symmetric_eigen::work_bytes(size, rank);
    if (request.energy < 1.0) work = std::max(work, sizeof(float) * size / 3 * both + size * size * 3);
  }
  return work + result;
}

}  // namespace hartonomous
