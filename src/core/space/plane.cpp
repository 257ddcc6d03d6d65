// The plane that captures most of a tensor's rows (hartonomous/space.hpp): two singular vectors.
#include <algorithm>
#include <cmath>

#include "hartonomous/space.hpp"
#include "hartonomous/svd.hpp"

namespace hartonomous {
namespace {

// Rows that have NaN or infinity, or numbers too large to be squared, are replaced by zeros.
std::vector<float> usable_rows(span<const float> sample, std::size_t rows, std::size_t columns,
                               interrupt_checker& interrupts) {
  std::vector<float> usable(sample.begin(), sample.end());
  for (std::size_t i = 0; i < rows; ++i) {
    interrupts.check();
    float* row = usable.data() + i * columns;
    if (!std::all_of(row, row + columns, [](float x) { return std::fabs(x) < 1e30f; })) std::fill_n(row, columns, 0.0f);
  }
  return usable;
}

}  // namespace

principal_plane find_principal_plane(span<const float> sample, std::size_t rows, std::size_t columns, thread_pool& pool,
                                     interrupt_checker& interrupts) {
  principal_plane plane;
  plane.first.assign(columns, 0.0f);
  plane.second.assign(columns, 0.0f);
  if (rows == 0 || columns == 0) return plane;
  svd_request request;
  request.rank = 2;
  const svd_factors found =
      truncated_svd(usable_rows(sample, rows, columns, interrupts), rows, columns, request, pool, interrupts);
  // A direction whose singular value is negligible beside the first one is rounding noise.
  const auto take = [&](std::size_t i, std::vector<float>& direction) {
    if (i >= found.rank || !(found.s[i] > found.s[0] * 1e-6f) || found.s[i] == 0.0f) return;
    std::copy_n(found.vt.begin() + static_cast<std::ptrdiff_t>(i * columns), columns, direction.begin());
  };
  take(0, plane.first);
  take(1, plane.second);
  return plane;
}

}  // namespace hartonomous
