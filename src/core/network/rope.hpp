// Rotary positions: the angle of each pair of a head's numbers at each position (Su et al. 2021; YaRN, Peng et al.
// 2023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous::network_detail {

// Cosines and sines by position: row p has `dimensions` / 2 of each, for position first + p.
class rope_table {
 public:
  // `context` is the original context unless `rope` has one. `factors` are divisors of the frequencies (the tensor
  // rope_freqs of llama 3): dimensions / 2 of them, or none.
  rope_table(const rope_parameters& rope, std::uint32_t context, span<const float> factors, std::uint32_t first,
             std::uint32_t count);
  const float* cosines(std::uint32_t position) const noexcept { return cosines_.data() + (position - first_) * pairs_; }
  const float* sines(std::uint32_t position) const noexcept { return sines_.data() + (position - first_) * pairs_; }

 private:
  std::size_t first_, pairs_;
  std::vector<float> cosines_, sines_;
};

}  // namespace hartonomous::network_detail
