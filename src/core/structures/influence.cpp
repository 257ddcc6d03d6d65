// Block Influence (hartonomous/influence.hpp).
#include "hartonomous/influence.hpp"

#include "hartonomous/error.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace hartonomous {
namespace {

// The sum over tokens of the cosine between two states; 1 if neither is anything but zeros.
double sum_of_cosines(const std::vector<float>& before, const std::vector<float>& after, std::size_t width) {
  double sum = 0.0;
  for (std::size_t first = 0; first < before.size(); first += width) {
    double product = 0.0, a = 0.0, b = 0.0;
    for (std::size_t j = first; j < first + width; ++j) {
      product += double{before[j]} * after[j];
      a += double{before[j]} * before[j];
      b += double{after[j]} * after[j];
    }
    sum += a == 0.0 && b == 0.0 ? 1.0 : a == 0.0 || b == 0.0 ? 0.0 : product / std::sqrt(a * b);
  }
  return sum;
}

std::vector<token_sequence> windows_of(span<const token_id> tokens, std::uint32_t n_ctx) {
  std::vector<token_sequence> windows;
  for (std::size_t first = 0; first < tokens.size(); first += n_ctx) {
    windows.push_back({tokens.subspan(first, std::min<std::size_t>(n_ctx, tokens.size() - first)), nullptr});
  }
  return windows;
}

}  // namespace

std::vector<double> block_influences(transformer& network, span<const token_id> tokens, std::uint32_t n_ctx,
                                     std::optional<token_id> begin, span<const std::int32_t> blocks,
                                     std::uint64_t memory) {
  if (tokens.empty() || n_ctx == 0) throw error(sqlstate::invalid_parameter_value, "the text has no tokens");
  for (const std::int32_t block : blocks) {
    if (block < 0 || static_cast<std::uint32_t>(block) >= network.config().blocks) {
      throw error(sqlstate::invalid_parameter_value, "there is no block " + std::to_string(block));
    }
  }
  const std::size_t width = network.config().width;
  std::vector<token_id> text(tokens.begin(), tokens.end());
  for (std::size_t first = 0; begin && first < text.size(); first += n_ctx) text[first] = *begin;
  const std::vector<token_sequence> windows = windows_of(text, n_ctx);
  const std::uint64_t window_bytes = network.run_bytes(n_ctx, n_ctx) + 2 * std::uint64_t{n_ctx} * width * sizeof(float);
  const std::size_t group = std::max<std::uint64_t>(memory / window_bytes, 1);
  std::vector<double> sums(blocks.size());
  for (std::size_t first = 0; first < windows.size(); first += group) {
    const span<const token_sequence> part = {windows.data() + first, std::min(group, windows.size() - first)};
    std::vector<float> states(std::min(group * n_ctx, text.size() - first * n_ctx) * width);
    network.embed(part, states.data());
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      const std::vector<float> before = states;
      network.run_block(static_cast<std::uint32_t>(blocks[i]), part, states.data());
      sums[i] += sum_of_cosines(before, states, width);
    }
  }
  for (double& sum : sums) sum = 1.0 - sum / static_cast<double>(text.size());
  return sums;
}

}  // namespace hartonomous
