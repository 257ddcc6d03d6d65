// Gradients through rotations and attention (block_gradient.hpp).
//
// The weights of attention are computed again from the logarithms of their sums, a tile of queries or keys at a time
// (Dao et al. 2022, "FlashAttention"): tiles of queries first, then tiles of keys, each of which sums over the queries
// that see it in their order, so that no two tasks add to the same number.
#include "network/block_gradient.hpp"

#include "linear_algebra/sgemm.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <memory>

namespace hartonomous::network_detail {
namespace {

constexpr std::size_t tile_tokens = 64;

struct tile {
  std::size_t sequence, head, first;
};

std::vector<tile> tiles_of(const std::vector<sequence_position>& sequences, std::size_t heads) {
  std::vector<tile> tiles;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t t = 0; t < sequences[s].count; t += tile_tokens) tiles.push_back({s, h, t});
    }
  }
  return tiles;
}

std::unique_ptr<float[]> uninitialized(std::size_t count) { return std::unique_ptr<float[]>(new float[count]); }

}  // namespace

// A rotation by the negative angle. A factor on the cosines and sines stays one.
void block_gradient::rotate_back(float* heads_of_all, std::size_t heads) {
  const std::size_t head_size = config_.head_size, pairs = config_.rope.dimensions / 2;
  const bool halves = config_.rope.pairs == rope_pairs::halves;
  compute_.for_runs(batch_.size(), heads * head_size, [&](std::size_t from, std::size_t to) {
    std::vector<float> negative(pairs);
    for (std::size_t t = from; t < to; ++t) {
      const float* cosines = batch_.angles.cosines(batch_.positions[t]);
      const float* sines = batch_.angles.sines(batch_.positions[t]);
      std::transform(sines, sines + pairs, negative.begin(), [](float s) { return -s; });
      for (std::size_t h = 0; h < heads; ++h) {
        float* head = heads_of_all + (t * heads + h) * head_size;
        halves ? rotate_halves(head, cosines, negative.data(), pairs)
               : rotate_adjacent(head, cosines, negative.data(), pairs);
      }
    }
  });
}

void block_gradient::through_rotation() {
  rotate_back(q_.data(), config_.heads);
  rotate_back(k_.data(), config_.kv_heads);
}

void block_gradient::through_attention(const recorded_part& part) {
  const std::vector<tile> queries = tiles_of(batch_.sequences, config_.heads);
  compute_.threads().run(queries.size(), compute_.interrupts(), [&](std::size_t i) {
    of_queries(part.first, batch_.sequences[queries[i].sequence], queries[i].head, queries[i].first);
  });
  const std::vector<tile> keys = tiles_of(batch_.sequences, config_.kv_heads);
  compute_.threads().run(keys.size(), compute_.interrupts(), [&](std::size_t i) {
    of_keys(part.first, batch_.sequences[keys[i].sequence], keys[i].head, keys[i].first);
  });
}

// With weights p and gradients g of the output o = sum of p_j v_j: dp_j = g v_j, and of the score before the softmax
// p_j (dp_j - sum of p dp).
void block_gradient::of_queries(const std::vector<float>& queries, const sequence_position& s, std::size_t head,
                                std::size_t first) {
  const std::size_t size = config_.head_size, q_width = config_.query_width(), kv_width = config_.kv_width();
  const std::size_t kv = s.first * kv_width + head / (config_.heads / config_.kv_heads) * size;
  const std::size_t count = std::min(tile_tokens, s.count - first), seen = first + count;
  const std::size_t at = (s.first + first) * q_width + head * size;
  const matrix_view keys = {batch_.k.data() + kv, seen, size, kv_width};
  const auto weights = uninitialized(count * seen), changes = uninitialized(count * seen);
  multiply_transposed({queries.data() + at, count, size, q_width}, keys, config_.attention_scale, weights.get(), seen);
  multiply_transposed({attended_.data() + at, count, size, q_width}, {batch_.v.data() + kv, seen, size, kv_width}, 1.0f,
                      changes.get(), seen);
  for (std::size_t t = 0; t < count; ++t) {
    const std::size_t own = first + t + 1, number = (s.first + first + t) * config_.heads + head;
    float *const p = weights.get() + t * seen, *const change = changes.get() + t * seen;
    const float top = maximum(p, own);
    const float mass = top + static_cast<float>(std::log(exponential_sum(p, own, top)));
    exponentials(p, own, mass);
    double sum = 0.0;
    for (std::size_t j = 0; j < own; ++j) sum += static_cast<double>(p[j]) * static_cast<double>(change[j]);
    const auto share = static_cast<float>(sum);
    for (std::size_t j = 0; j < own; ++j) change[j] = config_.attention_scale * p[j] * (change[j] - share);
    std::fill(change + own, change + seen, 0.0f);
    masses_[number] = mass;
    shares_[number] = share;
  }
  multiply({changes.get(), count, seen, seen}, keys, q_.data() + at, q_width);
}

void block_gradient::of_keys(const std::vector<float>& queries, const sequence_position& s, std::size_t kv_head,
                             std::size_t first) {
  const std::size_t size = config_.head_size, q_width = config_.query_width(), kv_width = config_.kv_width();
  const std::size_t sharing = config_.heads / config_.kv_heads, count = std::min(tile_tokens, s.count - first);
  const std::size_t kv = (s.first + first) * kv_width + kv_head * size;
  const matrix_view keys = {batch_.k.data() + kv, count, size, kv_width};
  const matrix_view values = {batch_.v.data() + kv, count, size, kv_width};
  const auto weights = uninitialized(tile_tokens * count), changes = uninitialized(tile_tokens * count);
  for (std::size_t t = 0; t < count; ++t) {
    std::fill_n(k_.data() + kv + t * kv_width, size, 0.0f);
    std::fill_n(v_.data() + kv + t * kv_width, size, 0.0f);
  }
  for (std::size_t head = kv_head * sharing; head < (kv_head + 1) * sharing; ++head) {
    for (std::size_t from = first; from < s.count; from += tile_tokens) {
      const std::size_t rows = std::min(tile_tokens, s.count - from);
      const std::size_t at = (s.first + from) * q_width + head * size;
      const matrix_view seeing = {queries.data() + at, rows, size, q_width};
      const matrix_view gradients = {attended_.data() + at, rows, size, q_width};
      multiply_transposed(seeing, keys, config_.attention_scale, weights.get(), count);
      multiply_transposed(gradients, values, 1.0f, changes.get(), count);
      for (std::size_t t = 0; t < rows; ++t) {
        const std::size_t number = (s.first + from + t) * config_.heads + head;
        float *const p = weights.get() + t * count, *const change = changes.get() + t * count;
        const std::size_t visible = std::min(count, from + t + 1 - first);
        exponentials(p, visible, masses_[number]);
        for (std::size_t j = 0; j < visible; ++j) {
          change[j] = config_.attention_scale * p[j] * (change[j] - shares_[number]);
        }
        std::fill(p + visible, p + count, 0.0f);
        std::fill(change + visible, change + count, 0.0f);
      }
      add_product_from_transposed({weights.get(), rows, count, count}, gradients, v_.data() + kv, kv_width);
      add_product_from_transposed({changes.get(), rows, count, count}, seeing, k_.data() + kv, kv_width);
    }
  }
}

}  // namespace hartonomous::network_detail
