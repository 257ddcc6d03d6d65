// Combines sequences into one batch (batch.hpp).
#include "network/architecture.hpp"
#include "network/batch.hpp"

#include <algorithm>

namespace hartonomous::network_detail {
namespace {

std::uint32_t past_of(const token_sequence& s) { return s.cache != nullptr ? s.cache->length() : 0; }

struct position_range {
  std::uint32_t first = UINT32_MAX, end = 0;
};

// The range of positions for which angles are needed.
position_range range_of(span<const token_sequence> sequences) {
  position_range range;
  for (const token_sequence& s : sequences) {
    if (s.tokens.empty()) continue;
    range.first = std::min(range.first, past_of(s));
    range.end = std::max(range.end, past_of(s) + static_cast<std::uint32_t>(s.tokens.size()));
  }
  range.first = std::min(range.first, range.end);
  return range;
}

rope_table table_of(const rope_parameters& rope, std::uint32_t context, span<const token_sequence> sequences,
                    span<const float> factors) {
  const position_range range = range_of(sequences);
  return {rope, context, factors, range.first, range.end - range.first};
}

// As llama.cpp chooses, whose contexts have room for a whole sequence from the beginning.
bool is_longer(const token_sequence& s, const hyperparameters& config) {
  const std::uint64_t room = s.cache != nullptr ? s.cache->capacity() : s.tokens.size();
  return config.long_factors && room > config.rope.original_context.value_or(config.context);
}

// Rows of the widest matrix that stands for several.
std::uint64_t joined_rows(const hyperparameters& config) {
  const block_parts& parts = config.architecture->parts;
  return std::max(parts.joined_projections ? config.query_width() + 2 * config.kv_width() : 0,
                  parts.inner == feed_forward_form::joined ? 2 * std::uint64_t{config.feed_forward} : 0);
}

}  // namespace

batch::batch(const hyperparameters& config, span<const token_sequence> from, const rope_factors& factors)
    : angles(table_of(config.rope, config.context, from, factors.usual)) {
  for (const token_sequence& s : from) {
    if (s.tokens.empty()) continue;
    sequences.push_back({tokens.size(), s.tokens.size(), past_of(s), s.cache});
    tokens.insert(tokens.end(), s.tokens.begin(), s.tokens.end());
    for (std::size_t i = 0; i < s.tokens.size(); ++i) positions.push_back(past_of(s) + static_cast<std::uint32_t>(i));
    longer.resize(tokens.size(), is_longer(s, config) ? 1 : 0);
  }
  if (config.window > 0) window_angles.emplace(table_of(config.window_rope, config.context, from, factors.usual));
  if (std::any_of(longer.begin(), longer.end(), [](char l) { return l != 0; })) {
    longer_angles.emplace(table_of(config.rope, config.context, from, factors.longer));
  }
  x.resize(size() * config.width);
  normed.resize(size() * config.width);
  q.resize(size() * config.query_width());
  k.resize(size() * config.kv_width());
  v.resize(size() * config.kv_width());
  gate.resize(size() * config.inner_width());
  up.resize(size() * config.inner_width());
  joined.resize(size() * joined_rows(config));
  if (config.experts == 0) return;
  router.resize(size() * config.experts);
  choices.resize(size() * config.experts_used);
  choosing.reserve(size());
  gathered.resize(size() * config.width);
  routed.resize(size() * config.width);
}

std::uint64_t batch::bytes(const hyperparameters& config, std::uint64_t count, std::uint64_t longest) noexcept {
  const std::uint64_t widths = config.experts > 0 ? 4 : 2;
  const std::uint64_t of_router =
      config.experts > 0 ? std::uint64_t{config.experts} + 2 * std::uint64_t{config.experts_used} + 1 : 0;
  const std::uint64_t per_token = widths * config.width + config.query_width() + 2 * config.kv_width() +
                                  2 * std::uint64_t{config.inner_width()} + joined_rows(config) + of_router;
  const std::uint64_t tables = 1 + (config.window > 0 ? 1 : 0) + (config.long_factors ? 1 : 0);
  return sizeof(float) * (count * per_token + tables * longest * config.rope.dimensions);
}

}  // namespace hartonomous::network_detail
