// The forward pass: embedding, blocks of attention and feed-forward (hartonomous/llama.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/llama.hpp"
#include "linear_algebra/sgemm.hpp"
#include "llama/batch.hpp"
#include "llama/vectors.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous {

void llama_network::check_sequences(span<const token_sequence> sequences) const {
  for (const token_sequence& s : sequences) {
    const std::uint64_t past = s.cache != nullptr ? s.cache->length_ : 0;
    const std::uint64_t room = s.cache != nullptr ? s.cache->capacity_ : config_.context;
    if (past + s.tokens.size() > room) {
      throw error(sqlstate::invalid_parameter_value,
                  std::to_string(past + s.tokens.size()) + " tokens do not fit a context of " + std::to_string(room));
    }
    for (token_id token : s.tokens) {
      if (token < 0 || static_cast<std::uint32_t>(token) >= vocabulary_) {
        throw error(sqlstate::invalid_parameter_value,
                    "token " + std::to_string(token) + " is not one of the model's " + std::to_string(vocabulary_));
      }
    }
  }
}

std::vector<float> llama_network::run(span<const token_sequence> sequences) {
  check_sequences(sequences);
  batch b;
  std::uint32_t first = UINT32_MAX, end = 0;
  for (const token_sequence& s : sequences) {
    if (s.tokens.empty()) continue;
    const std::uint32_t past = s.cache != nullptr ? s.cache->length_ : 0;
    b.sequences.push_back({b.tokens.size(), s.tokens.size(), past, s.cache});
    b.tokens.insert(b.tokens.end(), s.tokens.begin(), s.tokens.end());
    for (std::size_t i = 0; i < s.tokens.size(); ++i) b.positions.push_back(past + static_cast<std::uint32_t>(i));
    first = std::min(first, past);
    end = std::max(end, b.positions.back() + 1);
  }
  if (b.tokens.empty()) return {};
  b.angles.emplace(config_.rope, rope_factors_, first, end - first);
  const std::size_t tokens = b.size();
  b.x.resize(tokens * config_.width);
  b.normed.resize(tokens * config_.width);
  b.q.resize(tokens * config_.query_width());
  b.k.resize(tokens * config_.kv_width());
  b.v.resize(tokens * config_.kv_width());
  b.gate.resize(tokens * config_.feed_forward);
  b.up.resize(tokens * config_.feed_forward);
  embed(b);
  for (std::uint32_t block = 0; block < config_.blocks; ++block) run_block(block, b);
  for (const token_sequence& s : sequences) {
    if (s.cache != nullptr) s.cache->length_ += static_cast<std::uint32_t>(s.tokens.size());
  }
  return std::move(b.x);
}

void llama_network::embed(batch& b) {
  const std::size_t width = config_.width;
  std::vector<std::uint32_t> rows(b.tokens.begin(), b.tokens.end());
  std::sort(rows.begin(), rows.end());
  rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
  std::vector<float> table(rows.size() * width);
  source_.read_rows("token_embd.weight", rows, table.data());
  std::vector<std::size_t> uses(rows.size());
  for (std::size_t t = 0; t < b.size(); ++t) {
    const auto found = std::lower_bound(rows.begin(), rows.end(), static_cast<std::uint32_t>(b.tokens[t]));
    std::copy_n(table.begin() + (found - rows.begin()) * static_cast<std::ptrdiff_t>(width), width,
                b.x.begin() + static_cast<std::ptrdiff_t>(t * width));
    ++uses[static_cast<std::size_t>(found - rows.begin())];
  }
  for (std::size_t i = 0; observer_ != nullptr && i < rows.size(); ++i) {
    observer_->lookups("token_embd.weight", rows[i], uses[i], table.data() + i * width, width);
  }
}

void llama_network::run_block(std::uint32_t block, batch& b) {
  const std::size_t tokens = b.size(), width = config_.width, ff = config_.feed_forward;
  const auto name = [&](const char* of) { return block_tensor(block, of); };
  const auto add_to_x = [&] {
    for_runs(tokens, width, [&](std::size_t from, std::size_t to) {
      llama_detail::add(b.x.data() + from * width, b.normed.data() + from * width, (to - from) * width);
    });
  };
  norm_rows(name("attn_norm.weight"), b.x.data(), tokens, width, b.normed.data());
  linear(name("attn_q"), b.normed.data(), tokens, width, b.q.data(), config_.query_width());
  linear(name("attn_k"), b.normed.data(), tokens, width, b.k.data(), config_.kv_width());
  linear(name("attn_v"), b.normed.data(), tokens, width, b.v.data(), config_.kv_width());
  if (config_.head_norms) {
    norm_rows(name("attn_q_norm.weight"), b.q.data(), tokens * config_.heads, config_.head_size, b.q.data());
    norm_rows(name("attn_k_norm.weight"), b.k.data(), tokens * config_.kv_heads, config_.head_size, b.k.data());
  }
  rotate(b.q.data(), config_.heads, b);
  rotate(b.k.data(), config_.kv_heads, b);
  attend(block, b);
  linear(name("attn_output"), b.q.data(), tokens, config_.query_width(), b.normed.data(), width);
  add_to_x();
  norm_rows(name("ffn_norm.weight"), b.x.data(), tokens, width, b.normed.data());
  linear(name("ffn_gate"), b.normed.data(), tokens, width, b.gate.data(), ff);
  linear(name("ffn_up"), b.normed.data(), tokens, width, b.up.data(), ff);
  for_runs(tokens, ff, [&](std::size_t from, std::size_t to) {
    llama_detail::gated(b.gate.data() + from * ff, b.up.data() + from * ff, (to - from) * ff);
  });
  linear(name("ffn_down"), b.gate.data(), tokens, ff, b.normed.data(), width);
  add_to_x();
}

void llama_network::rotate(float* x, std::size_t heads, const batch& b) {
  const std::size_t head_size = config_.head_size, pairs = config_.rope.dimensions / 2;
  for_runs(b.size(), heads * head_size, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      const float* cosines = b.angles->cosines(b.positions[t]);
      const float* sines = b.angles->sines(b.positions[t]);
      for (std::size_t h = 0; h < heads; ++h) {
        float* head = x + (t * heads + h) * head_size;
        config_.rope.halves ? llama_detail::rotate_halves(head, cosines, sines, pairs)
                            : llama_detail::rotate_adjacent(head, cosines, sines, pairs);
      }
    }
  });
}

namespace {

// Queries of one head that are computed together.
struct attention_tile {
  std::size_t sequence, head, first, count;  // first: token within the sequence
};

constexpr std::size_t tile_tokens = 64;

std::vector<attention_tile> cut_into_tiles(const std::vector<sequence_place>& sequences, std::size_t heads) {
  std::vector<attention_tile> tiles;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t t = 0; t < sequences[s].count; t += tile_tokens) {
        tiles.push_back({s, h, t, std::min(tile_tokens, sequences[s].count - t)});
      }
    }
  }
  return tiles;
}

}  // namespace

void llama_network::attend(std::uint32_t block, batch& b) {
  const std::size_t kv_width = config_.kv_width(), q_width = config_.query_width(), size = config_.head_size;
  const std::size_t sharing = config_.heads / config_.kv_heads;
  for (const sequence_place& s : b.sequences) {
    if (s.cache == nullptr) continue;
    const auto at = static_cast<std::ptrdiff_t>(s.past * kv_width);
    std::copy_n(b.k.data() + s.first * kv_width, s.count * kv_width, s.cache->keys_[block].begin() + at);
    std::copy_n(b.v.data() + s.first * kv_width, s.count * kv_width, s.cache->values_[block].begin() + at);
  }
  const std::vector<attention_tile> tiles = cut_into_tiles(b.sequences, config_.heads);
  threads_.run(tiles.size(), check_, [&](std::size_t i) {
    const attention_tile& tile = tiles[i];
    const sequence_place& s = b.sequences[tile.sequence];
    const std::size_t kv_head = tile.head / sharing * size;
    const float* keys = (s.cache != nullptr ? s.cache->keys_[block].data() : b.k.data() + s.first * kv_width) + kv_head;
    const float* values =
        (s.cache != nullptr ? s.cache->values_[block].data() : b.v.data() + s.first * kv_width) + kv_head;
    const std::size_t seen = s.past + tile.first + tile.count;  // by the last query
    float* queries = b.q.data() + (s.first + tile.first) * q_width + tile.head * size;
    const std::unique_ptr<float[]> scores(new float[tile.count * seen]);  // all of it is written
    multiply_transposed({queries, tile.count, size, q_width}, {keys, seen, size, kv_width}, config_.attention_scale,
                        scores.get(), seen);
    for (std::size_t t = 0; t < tile.count; ++t) {
      const std::size_t own = s.past + tile.first + t + 1;
      llama_detail::softmax(scores.get() + t * seen, own);
      std::fill_n(scores.get() + t * seen + own, seen - own, 0.0f);
    }
    // No other tile reads these queries.
    multiply({scores.get(), tile.count, seen, seen}, {values, seen, size, kv_width}, queries, q_width);
  });
}

}  // namespace hartonomous
