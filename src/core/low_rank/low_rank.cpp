// Adding products of thin matrices (hartonomous/low_rank.hpp).
#include "hartonomous/low_rank.hpp"

#include <algorithm>
#include <vector>

namespace hartonomous {

void add_low_rank(span<float> weights, span<const float> b, span<const float> a, std::size_t rank, float scale,
                  thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t columns = a.size() / rank;
  const std::size_t rows = b.size() / rank;
  // Some hundred thousand products take well below a millisecond.
  const std::size_t together = std::clamp<std::size_t>((std::size_t{1} << 19) / (rank * columns), 1, rows);
  pool.run((rows + together - 1) / together, interrupts, [&](std::size_t task) {
    std::vector<float> sums(columns);
    const std::size_t end = std::min(rows, (task + 1) * together);
    for (std::size_t row = task * together; row < end; ++row) {
      std::fill(sums.begin(), sums.end(), 0.0F);
      for (std::size_t k = 0; k < rank; ++k) {
        const float factor = b[row * rank + k];
        const float* const of_rank = a.data() + k * columns;
        for (std::size_t c = 0; c < columns; ++c) sums[c] += factor * of_rank[c];
      }
      float* const out = weights.data() + row * columns;
      for (std::size_t c = 0; c < columns; ++c) out[c] += scale * sums[c];
    }
  });
}

}  // namespace hartonomous
