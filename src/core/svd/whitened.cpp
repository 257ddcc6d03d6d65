// Decomposition of whitened matrices (hartonomous/whitened_svd.hpp).
//
// C is upper triangular and stored by panels of 256 rows, so W L is the solution X of X C = W, found panel by panel:
// the columns of a panel are solved for, and their part is subtracted from the columns behind it.
#include "hartonomous/whitened_svd.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/statistics.hpp"
#include "linear_algebra/symmetric_eigen.hpp"
#include "svd/internal.hpp"

namespace hartonomous {
namespace {

using svd_detail::Index;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr Index tile = 64;  // rows of a task, which then takes milliseconds for any number of columns

std::size_t tiles(Index rows) { return static_cast<std::size_t>((rows + tile - 1) / tile); }

// The rows of C that make up a panel, transposed: from the diagonal on.
Eigen::Map<const row_major> factor_of(const input_hessian& hessian, std::size_t panel) {
  const std::size_t from = panel * input_hessian::panel_columns;
  return {hessian.factor_panel(panel), static_cast<Index>(hessian.columns() - from),
          static_cast<Index>(hessian.panel_width(panel))};
}

// The inverse of whiten(): rows times C.
std::vector<float> unwhitened(const std::vector<float>& matrix, std::size_t rows, const input_hessian& hessian,
                              thread_pool& pool, interrupt_checker& interrupts) {
  const auto height = static_cast<Index>(rows), width = static_cast<Index>(hessian.columns());
  std::vector<float> result(matrix.size(), 0.0f);
  const Eigen::Map<const row_major> from(matrix.data(), height, width);
  Eigen::Map<row_major> to(result.data(), height, width);
  for (std::size_t p = 0; p < hessian.panels(); ++p) {
    const Eigen::Map<const row_major> factor = factor_of(hessian, p);
    const Index begin = width - factor.rows();
    pool.run(tiles(height), interrupts, [&](std::size_t t) {
      const Index row = static_cast<Index>(t) * tile, count = std::min(tile, height - row);
      to.block(row, begin, count, factor.rows()).noalias() +=
          from.block(row, begin, count, factor.cols()) * factor.transpose();
    });
  }
  return result;
}

// Copies in steps between which the work can be interrupted.
std::vector<float> copy_of(span<const float> numbers, interrupt_checker& interrupts) {
  constexpr std::size_t chunk = std::size_t{1} << 22;
  std::vector<float> copy;
  copy.reserve(numbers.size());
  while (copy.size() < numbers.size()) {
    interrupts.check();
    const float* const from = numbers.data() + copy.size();
    copy.insert(copy.end(), from, from + std::min(chunk, numbers.size() - copy.size()));
  }
  return copy;
}

double sum_of_squares(span<const float> numbers, interrupt_checker& interrupts) {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  running_sum sum;
  for (std::size_t from = 0; from < numbers.size(); from += chunk) {
    interrupts.check();
    sum.add_squares(numbers.data() + from, std::min(chunk, numbers.size() - from));
  }
  return sum.total();
}

// The number of rows, which must be whole.
std::size_t checked_rows(span<const float> matrix, const input_hessian& hessian) {
  const std::size_t rows = matrix.size() / hessian.columns();
  if (rows == 0 || rows * hessian.columns() != matrix.size()) {
    throw error(sqlstate::invalid_parameter_value, "matrix of " + std::to_string(matrix.size()) +
                                                       " numbers is not whole rows of " +
                                                       std::to_string(hessian.columns()));
  }
  return rows;
}

// A copy of the matrix, whitened. NaN and infinity are found before they spread.
std::vector<float> whitened(span<const float> matrix, std::size_t rows, const input_hessian& hessian, thread_pool& pool,
                            interrupt_checker& interrupts) {
  svd_detail::checked_total(matrix, interrupts);
  std::vector<float> copy = copy_of(matrix, interrupts);
  whiten(copy.data(), rows, hessian, pool, interrupts);
  return copy;
}

// U (rows x rank) times V (rank x rank), all row-major.
std::vector<float> product(const svd_factors& u, const svd_factors& v, thread_pool& pool,
                           interrupt_checker& interrupts) {
  const auto rows = static_cast<Index>(u.rows), rank = static_cast<Index>(u.rank);
  std::vector<float> result(u.u.size());
  const Eigen::Map<const row_major> left(u.u.data(), rows, rank), right(v.u.data(), rank, rank);
  Eigen::Map<row_major> to(result.data(), rows, rank);
  pool.run(tiles(rows), interrupts, [&](std::size_t t) {
    const Index row = static_cast<Index>(t) * tile, count = std::min(tile, rows - row);
    to.middleRows(row, count).noalias() = left.middleRows(row, count) * right;
  });
  return result;
}

}  // namespace

void whiten(float* matrix, std::size_t rows, const input_hessian& hessian, thread_pool& pool,
            interrupt_checker& interrupts) {
  const auto height = static_cast<Index>(rows), width = static_cast<Index>(hessian.columns());
  Eigen::Map<row_major> x(matrix, height, width);
  for (std::size_t p = 0; p < hessian.panels(); ++p) {
    const Eigen::Map<const row_major> factor = factor_of(hessian, p);
    const Index begin = width - factor.rows(), columns = factor.cols(), rest = factor.rows() - columns;
    pool.run(tiles(height), interrupts, [&](std::size_t t) {
      const Index row = static_cast<Index>(t) * tile, count = std::min(tile, height - row);
      row_major solved = x.block(row, begin, count, columns);
      factor.topRows(columns).triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(solved);
      x.block(row, begin, count, columns) = solved;
      if (rest > 0) {
        x.block(row, begin + columns, count, rest).noalias() -= solved * factor.bottomRows(rest).transpose();
      }
    });
  }
}

svd_factors whitened_svd(span<const float> matrix, const input_hessian& hessian, const svd_request& request,
                         thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t rows = checked_rows(matrix, hessian), columns = hessian.columns();
  svd_factors best;
  {
    const std::vector<float> outputs = whitened(matrix, rows, hessian, pool, interrupts);
    best = truncated_svd(outputs, rows, columns, request, pool, interrupts);
  }
  // diag(s) VT C is a matrix of few rows. Its left vectors turn U.
  for (std::size_t i = 0; i < best.rank; ++i) {
    std::for_each(&best.vt[i * columns], &best.vt[i * columns] + columns, [&](float& v) { v *= best.s[i]; });
  }
  std::vector<float> lower = unwhitened(best.vt, best.rank, hessian, pool, interrupts);
  svd_request all;
  all.rank = best.rank;
  all.seed = request.seed;
  svd_factors result = truncated_svd(lower, best.rank, columns, all, pool, interrupts);
  result.u = product(best, result, pool, interrupts);
  result.rows = rows;
  result.explained_variance = best.explained_variance;
  return result;
}

std::uint64_t whitened_svd_work_bytes(std::size_t rows, std::size_t columns, const svd_request& request) {
  const std::uint64_t most = std::min(rows, columns),
                      rank = request.rank == 0 ? most : std::min<std::uint64_t>(request.rank, most);
  const std::uint64_t factors = sizeof(float) * rank * (std::uint64_t{rows} + columns);
  svd_request all;
  all.rank = rank;
  return std::max(sizeof(float) * std::uint64_t{rows} * columns + svd_work_bytes(rows, columns, request),
                  2 * factors + svd_work_bytes(rank, columns, all));
}

whitened_spectrum whitened_values(span<const float> matrix, const input_hessian& hessian, thread_pool& pool,
                                  interrupt_checker& interrupts) {
  const std::size_t rows = checked_rows(matrix, hessian);
  const std::vector<float> outputs = whitened(matrix, rows, hessian, pool, interrupts);
  whitened_spectrum result;
  result.energy = sum_of_squares(outputs, interrupts);
  const svd_detail::operand a(outputs, rows, hessian.columns(), pool, interrupts);
  const symmetric_eigen solved(a.gram(), pool, interrupts);
  for (const double square : solved.values()) {
    result.values.push_back(static_cast<float>(std::sqrt(std::max(square, 0.0))));
  }
  return result;
}

std::uint64_t whitened_values_work_bytes(std::size_t rows, std::size_t columns) {
  const std::uint64_t side = std::min(rows, columns);
  return sizeof(float) * std::uint64_t{rows} * columns + 2 * sizeof(double) * side * side +
         symmetric_eigen::work_bytes(side, 0);
}

double output_error(span<const float> matrix, const factor_view& factors, const input_hessian& hessian,
                    thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t rows = checked_rows(matrix, hessian);
  if (factors.rows != rows || factors.columns != hessian.columns()) {
    throw error(sqlstate::array_subscript_error, "factors do not fit the matrix");
  }
  // tr(D G Dᵀ) is to tr(D H Dᵀ) and tr(D Dᵀ) as damping has made it.
  const auto energy = [&](std::vector<float>& of) {
    const double squares = sum_of_squares(of, interrupts);
    whiten(of.data(), rows, hessian, pool, interrupts);
    return std::max((1.0 + hessian.damping()) * sum_of_squares(of, interrupts) - hessian.damping() * squares, 0.0);
  };
  std::vector<float> numbers = copy_of(matrix, interrupts);
  subtract_product(factors, numbers.data(), pool, interrupts);
  const double lost = energy(numbers);
  numbers = std::vector<float>();
  numbers = copy_of(matrix, interrupts);
  const double all = energy(numbers);
  if (all > 0.0) return std::sqrt(lost / all);
  return lost > 0.0 ? std::numeric_limits<double>::infinity() : 0.0;
}

}  // namespace hartonomous
