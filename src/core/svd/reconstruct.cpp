// The product of factors, and its distance from a matrix (hartonomous/svd.hpp).
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "hartonomous/statistics.hpp"
#include "hartonomous/svd.hpp"
#include "svd/internal.hpp"

namespace hartonomous {
namespace {

using svd_detail::Index;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Rows that a task multiplies in about a millisecond, whatever the number of threads.
std::size_t rows_of_task(const factor_view& f) {
  constexpr std::size_t multiplications = std::size_t{1} << 25;
  return std::clamp<std::size_t>(multiplications / std::max<std::size_t>(f.rank * f.columns, 1), 16, 256);
}

void add_rows(const factor_view& f, std::size_t from, std::size_t count, float sign, float* out) {
  const auto rank = static_cast<Index>(f.rank), rows = static_cast<Index>(count);
  if (rank == 0 || rows == 0) return;
  const Eigen::Map<const row_major> u(f.u.data() + from * f.rank, rows, rank);
  const Eigen::Map<const row_major> vt(f.vt.data(), rank, static_cast<Index>(f.columns));
  const Eigen::Map<const Eigen::VectorXf> s(f.s.data(), rank);
  const row_major scaled = u * (sign * s).asDiagonal();
  Eigen::Map<row_major>(out, rows, static_cast<Index>(f.columns)).noalias() += scaled * vt;
}

}  // namespace

void add_product(const factor_view& factors, std::size_t from, std::size_t count, float* out, thread_pool& pool,
                 interrupt_checker& interrupts) {
  const std::size_t part = rows_of_task(factors);
  pool.run((count + part - 1) / part, interrupts, [&](std::size_t t) {
    const std::size_t begin = t * part;
    add_rows(factors, from + begin, std::min(part, count - begin), 1.0f, out + begin * factors.columns);
  });
}

void subtract_product(const factor_view& factors, float* matrix, thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t part = rows_of_task(factors);
  pool.run((factors.rows + part - 1) / part, interrupts, [&](std::size_t t) {
    const std::size_t begin = t * part;
    add_rows(factors, begin, std::min(part, factors.rows - begin), -1.0f, matrix + begin * factors.columns);
  });
}

double factor_error(span<const float> matrix, const factor_view& factors, thread_pool& pool,
                    interrupt_checker& interrupts) {
  const std::size_t part = rows_of_task(factors), parts = (factors.rows + part - 1) / part;
  std::vector<double> distances(parts), sizes(parts);
  pool.run(parts, interrupts, [&](std::size_t t) {
    const std::size_t begin = t * part, count = std::min(part, factors.rows - begin);
    const float* original = matrix.data() + begin * factors.columns;
    std::vector<float> difference(original, original + count * factors.columns);
    add_rows(factors, begin, count, -1.0f, difference.data());
    running_sum distance, size;
    distance.add_squares(difference.data(), difference.size());
    size.add_squares(original, difference.size());
    distances[t] = distance.total();
    sizes[t] = size.total();
  });
  double distance = 0.0, size = 0.0;
  for (std::size_t t = 0; t < parts; ++t) {
    distance += distances[t];
    size += sizes[t];
  }
  if (size != 0.0) return std::sqrt(distance / size);
  return distance == 0.0 ? 0.0 : std::numeric_limits<double>::infinity();
}

namespace {

bool all_finite(span<const float> values) {
  return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
}

double distance_from_identity(const Eigen::MatrixXd& gram) {
  double largest = 0.0;
  for (Index j = 0; j < gram.cols(); ++j) {
    for (Index i = j; i < gram.rows(); ++i) largest = std::max(largest, std::fabs(gram(i, j) - (i == j ? 1.0 : 0.0)));
  }
  return largest;
}

}  // namespace

factor_condition examine(const factor_view& f, thread_pool& pool, interrupt_checker& interrupts) {
  factor_condition found;
  found.finite = all_finite(f.u) && all_finite(f.s) && all_finite(f.vt);
  interrupts.check();
  found.descending = std::is_sorted(f.s.begin(), f.s.end(), std::greater<>()) && (f.rank == 0 || f.s[f.rank - 1] >= 0);
  if (!found.finite || f.rank == 0) return found;
  found.smallest_ratio = f.s[0] > 0 ? static_cast<double>(f.s[f.rank - 1]) / static_cast<double>(f.s[0]) : 0.0;
  const auto rank = static_cast<Index>(f.rank);
  // A row-major Vt is a column-major V; U has to be copied.
  const Eigen::Map<const Eigen::MatrixXf> v(f.vt.data(), static_cast<Index>(f.columns), rank);
  found.vt_orthonormality = distance_from_identity(svd_detail::gram_of_columns(v, pool, interrupts));
  const Eigen::MatrixXf u = Eigen::Map<const row_major>(f.u.data(), static_cast<Index>(f.rows), rank);
  found.u_orthonormality = distance_from_identity(svd_detail::gram_of_columns(u, pool, interrupts));
  return found;
}

}  // namespace hartonomous
