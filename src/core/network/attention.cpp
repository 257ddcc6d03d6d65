// The attention part of a block (block_pass.hpp): grouped-query attention with rotary positions.
#include "linear_algebra/sgemm.hpp"
#include "network/block_pass.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>

namespace hartonomous::network_detail {

std::vector<expected_tensor> attention_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, q = config.query_width(), kv = config.kv_width();
  return {{"attn_q.weight", {q, width}, true, "self_attn.q_proj.weight", true},
          {"attn_q.bias", {q}, false, "self_attn.q_proj.bias", true},
          {"attn_k.weight", {kv, width}, true, "self_attn.k_proj.weight", true},
          {"attn_k.bias", {kv}, false, "self_attn.k_proj.bias", true},
          {"attn_v.weight", {kv, width}, true, "self_attn.v_proj.weight"},
          {"attn_v.bias", {kv}, false, "self_attn.v_proj.bias"},
          {"attn_output.weight", {width, q}, true, "self_attn.o_proj.weight"},
          {"attn_output.bias", {width}, false, "self_attn.o_proj.bias"}};
}

std::vector<expected_tensor> joined_attention_tensors(const hyperparameters& config) {
  const std::uint64_t width = config.width, q = config.query_width(), joined = q + 2 * config.kv_width();
  return {{"attn_qkv.weight", {joined, width}, true},
          {"attn_qkv.bias", {joined}, false},
          {"attn_output.weight", {width, q}, true},
          {"attn_output.bias", {width}, false}};
}

std::vector<expected_tensor> head_norm_tensors(const hyperparameters& config, bool whole) {
  const std::uint64_t q = whole ? config.query_width() : config.head_size;
  const std::uint64_t k = whole ? config.kv_width() : config.head_size;
  return {{"attn_q_norm.weight", {q}, true, "self_attn.q_norm.weight"},
          {"attn_k_norm.weight", {k}, true, "self_attn.k_norm.weight"}};
}

void block_pass::project_queries_keys_values() {
  record(block_part::projections);
  const std::size_t tokens = batch_.size(), width = config_.width;
  const float* x = batch_.normed.data();
  compute_.linear(name("attn_q"), x, tokens, width, batch_.q.data(), config_.query_width());
  compute_.linear(name("attn_k"), x, tokens, width, batch_.k.data(), config_.kv_width());
  compute_.linear(name("attn_v"), x, tokens, width, batch_.v.data(), config_.kv_width());
}

void block_pass::split(std::size_t rows, std::initializer_list<std::pair<std::vector<float>*, std::size_t>> parts) {
  compute_.for_runs(batch_.size(), rows, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      const float* next = batch_.joined.data() + t * rows;
      for (const auto& [part, width] : parts) {
        std::copy_n(next, width, part->data() + t * width);
        next += width;
      }
    }
  });
}

void block_pass::project_joined() {
  const std::size_t q = config_.query_width(), kv = config_.kv_width(), rows = q + 2 * kv;
  compute_.linear(name("attn_qkv"), batch_.normed.data(), batch_.size(), config_.width, batch_.joined.data(), rows);
  split(rows, {{&batch_.q, q}, {&batch_.k, kv}, {&batch_.v, kv}});
}

void block_pass::normalize_heads(bool whole) {
  record(block_part::head_norms, "", batch_.q, batch_.k);
  const auto of = [&](const char* norm, std::vector<float>& x, std::size_t heads) {
    const std::size_t rows = batch_.size() * (whole ? 1 : heads);
    compute_.normalize_rows(name(norm), config_.epsilon, x.data(), rows, x.size() / rows, x.data());
  };
  of("attn_q_norm.weight", batch_.q, config_.heads);
  of("attn_k_norm.weight", batch_.k, config_.kv_heads);
}

void block_pass::rotate() {
  record(block_part::rotation);
  rotate_heads(batch_.q.data(), config_.heads);
  rotate_heads(batch_.k.data(), config_.kv_heads);
}

void block_pass::rotate_heads(float* x, std::size_t heads) {
  const std::size_t head_size = config_.head_size, pairs = config_.rope.dimensions / 2;
  const bool halves = config_.rope.pairs == rope_pairs::halves, windowed = config_.has_window(block_);
  compute_.for_runs(batch_.size(), heads * head_size, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      const rope_table& angles = batch_.angles_of(t, windowed);
      const float* cosines = angles.cosines(batch_.positions[t]);
      const float* sines = angles.sines(batch_.positions[t]);
      for (std::size_t h = 0; h < heads; ++h) {
        float* head = x + (t * heads + h) * head_size;
        halves ? rotate_halves(head, cosines, sines, pairs) : rotate_adjacent(head, cosines, sines, pairs);
      }
    }
  });
}

void block_pass::scale_queries() {
  const std::size_t width = config_.query_width();
  compute_.for_runs(batch_.size(), width, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) {
      const std::uint32_t intervals = batch_.positions[t] / config_.query_growth_interval;
      const double factor =
          1.0 + static_cast<double>(config_.query_growth) * std::log1p(static_cast<double>(intervals));
      float* const q = batch_.q.data() + t * width;
      std::transform(q, q + width, q, [&](float v) { return v * static_cast<float>(factor); });
    }
  });
}

namespace {

// Queries of one head that are computed together.
struct attention_tile {
  std::size_t sequence, head, first, count;  // first: token within the sequence
};

constexpr std::size_t tile_tokens = 64;

std::vector<attention_tile> cut_into_tiles(const std::vector<sequence_position>& sequences, std::size_t heads) {
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

// The inputs as one head of each token weighs them, for an observer.
class attended_inputs {
 public:
  attended_inputs(const std::vector<float>& x, std::size_t width, std::size_t heads, std::size_t tiles)
      : x_(x), width_(width), heads_(heads), means_(x.size()), weights_(tiles) {}

  // `scores` are those of the queries of a tile, a row each, after the softmax.
  void add(std::size_t number, const attention_tile& tile, std::size_t first_token, const float* scores,
           std::size_t seen) {
    // The first query whose head this is.
    const std::size_t at = first_token + tile.first, from = (tile.head + heads_ - at % heads_) % heads_;
    if (from >= tile.count) return;
    const std::size_t count = (tile.count - from + heads_ - 1) / heads_;
    multiply({scores + from * seen, count, seen, heads_ * seen},
             {x_.data() + first_token * width_, seen, width_, width_}, means_.data() + (at + from) * width_,
             heads_ * width_);
    std::vector<float>& sums = weights_[number];
    sums.resize(seen);
    for (std::size_t t = from; t < tile.count; t += heads_) network_detail::add(sums.data(), scores + t * seen, seen);
  }

  void tell(linear_observer& observer, const std::string& keys, const std::vector<attention_tile>& tiles,
            const std::vector<sequence_position>& sequences) const {
    const std::size_t tokens = x_.size() / width_;
    std::vector<float> weights(tokens);
    for (std::size_t i = 0; i < tiles.size(); ++i) {
      network_detail::add(weights.data() + sequences[tiles[i].sequence].first, weights_[i].data(), weights_[i].size());
    }
    observer.attended(keys, x_.data(), weights, means_.data(), tokens, width_);
  }

 private:
  const std::vector<float>& x_;
  std::size_t width_, heads_;
  std::vector<float> means_;                 // tokens x width
  std::vector<std::vector<float>> weights_;  // of each tile: of the tokens that it sees
};

// How scores become shares of attention.
struct score_options {
  float softcap = 0.0f;           // 0: none
  std::size_t window = SIZE_MAX;  // tokens that a query sees, itself included
  const float* sinks = nullptr;   // by head
};

// The scores of a query for `seen` keys, of which it sees the first `own`, become shares.
void to_shares(float* scores, std::size_t own, std::size_t seen, std::size_t head, const score_options& options) {
  const std::size_t first = own - std::min(own, options.window);
  if (options.softcap != 0.0f) softcap(scores + first, own - first, options.softcap);
  options.sinks != nullptr ? softmax(scores + first, own - first, options.sinks[head])
                           : softmax(scores + first, own - first);
  std::fill_n(scores, first, 0.0f);
  std::fill_n(scores + own, seen - own, 0.0f);
}

}  // namespace

void block_pass::attend() {
  record(block_part::attention, "", batch_.q);
  const std::vector<float> sinks =
      config_.architecture->parts.sinks ? compute_.vector_of(name("attn_sinks.weight")) : std::vector<float>();
  const score_options options = {config_.attention_softcap, config_.has_window(block_) ? config_.window : SIZE_MAX,
                                 sinks.empty() ? nullptr : sinks.data()};
  const std::size_t kv_width = config_.kv_width(), q_width = config_.query_width(), size = config_.head_size;
  const std::size_t sharing = config_.heads / config_.kv_heads;
  for (const sequence_position& s : batch_.sequences) {
    if (s.cache == nullptr) continue;
    std::copy_n(batch_.k.data() + s.first * kv_width, s.count * kv_width, s.cache->keys(block_) + s.past * kv_width);
    std::copy_n(batch_.v.data() + s.first * kv_width, s.count * kv_width, s.cache->values(block_) + s.past * kv_width);
  }
  const std::vector<attention_tile> tiles = cut_into_tiles(batch_.sequences, config_.heads);
  std::optional<attended_inputs> attended;
  // The keys of a joined matrix are not weighted by their attention.
  if (compute_.observer() != nullptr && compute_.observer()->attends() &&
      !config_.architecture->parts.joined_projections) {
    attended.emplace(batch_.normed, config_.width, config_.heads, tiles.size());
  }
  compute_.threads().run(tiles.size(), compute_.interrupts(), [&](std::size_t i) {
    const attention_tile& tile = tiles[i];
    const sequence_position& s = batch_.sequences[tile.sequence];
    const std::size_t kv_head = tile.head / sharing * size;
    const float* keys = (s.cache != nullptr ? s.cache->keys(block_) : batch_.k.data() + s.first * kv_width) + kv_head;
    const float* values =
        (s.cache != nullptr ? s.cache->values(block_) : batch_.v.data() + s.first * kv_width) + kv_head;
    const std::size_t seen = s.past + tile.first + tile.count;  // by the last query
    float* queries = batch_.q.data() + (s.first + tile.first) * q_width + tile.head * size;
    const std::unique_ptr<float[]> scores(new float[tile.count * seen]);  // uninitialized: all of it is written
    multiply_transposed({queries, tile.count, size, q_width}, {keys, seen, size, kv_width}, config_.attention_scale,
                        scores.get(), seen);
    for (std::size_t t = 0; t < tile.count; ++t) {
      to_shares(scores.get() + t * seen, s.past + tile.first + t + 1, seen, tile.head, options);
    }
    if (attended && s.cache == nullptr) attended->add(i, tile, s.first, scores.get(), seen);
    // No other tile reads these queries, so they can be overwritten.
    multiply({scores.get(), tile.count, seen, seen}, {values, seen, size, kv_width}, queries, q_width);
  });
  if (attended) attended->tell(*compute_.observer(), name("attn_k") + ".weight", tiles, batch_.sequences);
}

void block_pass::project_attention() {
  record(block_part::output_projection);
  compute_.linear(name("attn_output"), batch_.q.data(), batch_.size(), config_.query_width(), batch_.normed.data(),
                  config_.width);
}

}  // namespace hartonomous::network_detail
