// Which tensors a model has to have, and the reading of them (hartonomous/llama.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/llama.hpp"
#include "llama/batch.hpp"

#include <algorithm>
#include <cstdint>
#include <set>

namespace hartonomous {
namespace {

[[noreturn]] void broken(const std::string& message, const std::string& detail = {}) {
  throw error(sqlstate::object_not_in_prerequisite_state, message, detail);
}

std::string described(const matrix_shape& s) { return std::to_string(s.rows) + " x " + std::to_string(s.columns); }

}  // namespace

llama_network::llama_network(const llama_config& config, tensor_source& source, unsigned threads,
                             std::uint64_t panel_bytes, interrupt& check)
    : config_(config), source_(source), threads_(threads), panel_bytes_(panel_bytes), check_(check) {
  check_tensors();
  if (source_.find("rope_freqs.weight")) rope_factors_ = vector_of("rope_freqs.weight");
  if (std::any_of(rope_factors_.begin(), rope_factors_.end(), [](float f) { return !(f > 0.0f); })) {
    broken("tensor \"rope_freqs.weight\" has a factor that is not positive");
  }
}

void llama_network::expect(const std::string& name, std::uint64_t rows, std::uint64_t columns, bool needed) {
  const std::optional<matrix_shape> found = source_.find(name);
  if (!found) {
    if (needed) broken("the model has no tensor \"" + name + "\"");
    return;
  }
  if (found->rows != rows || found->columns != columns) {
    broken("tensor \"" + name + "\" has the wrong shape",
           "It is " + described(*found) + "; the model's hyperparameters ask for " + described({rows, columns}) + ".");
  }
}

void llama_network::check_tensors() {
  const std::uint64_t width = config_.width, q = config_.query_width(), kv = config_.kv_width(),
                      ff = config_.feed_forward;
  const std::optional<matrix_shape> embedding = source_.find("token_embd.weight");
  if (!embedding) broken("the model has no tensor \"token_embd.weight\"");
  if (embedding->rows > INT32_MAX) broken("tensor \"token_embd.weight\" has too many rows");
  vocabulary_ = static_cast<std::uint32_t>(embedding->rows);
  output_ = source_.find("output.weight") ? "output.weight" : "token_embd.weight";
  struct expected {
    const char* name;
    std::uint64_t rows, columns;
    bool needed;
  };
  const expected outside[] = {
      {"token_embd.weight", vocabulary_, width, true},
      {"output_norm.weight", 1, width, true},
      {"output.weight", vocabulary_, width, false},
      {"output.bias", 1, vocabulary_, false},
      {"rope_freqs.weight", 1, config_.rope.dimensions / 2, false},
  };
  const expected inside[] = {
      {"attn_norm.weight", 1, width, true},   {"ffn_norm.weight", 1, width, true},
      {"attn_q.weight", q, width, true},      {"attn_q.bias", 1, q, false},
      {"attn_k.weight", kv, width, true},     {"attn_k.bias", 1, kv, false},
      {"attn_v.weight", kv, width, true},     {"attn_v.bias", 1, kv, false},
      {"attn_output.weight", width, q, true}, {"attn_output.bias", 1, width, false},
      {"ffn_gate.weight", ff, width, true},   {"ffn_gate.bias", 1, ff, false},
      {"ffn_up.weight", ff, width, true},     {"ffn_up.bias", 1, ff, false},
      {"ffn_down.weight", width, ff, true},   {"ffn_down.bias", 1, width, false},
  };
  const expected of_heads[] = {{"attn_q_norm.weight", 1, config_.head_size, true},
                               {"attn_k_norm.weight", 1, config_.head_size, true}};
  std::set<std::string> known;
  const auto take = [&](const std::string& name, const expected& e) {
    expect(name, e.rows, e.columns, e.needed);
    known.insert(name);
  };
  for (const expected& e : outside) take(e.name, e);
  for (std::uint32_t block = 0; block < config_.blocks; ++block) {
    for (const expected& e : inside) take(block_tensor(block, e.name), e);
    if (config_.head_norms) {
      for (const expected& e : of_heads) take(block_tensor(block, e.name), e);
    }
  }
  // What no formula here uses would be left out silently: the figures would be another model's.
  for (const std::string& name : source_.names()) {
    if (known.count(name) == 0) {
      throw error(sqlstate::feature_not_supported,
                  "tensor \"" + name + "\" has no place in a model of architecture " + config_.architecture);
    }
  }
}

std::vector<float> llama_network::vector_of(const std::string& name) {
  const std::size_t columns = source_.find(name)->columns;
  const auto reader = source_.open(name);
  const float* values = reader->next(1);
  return {values, values + columns};
}

// Whole panels of up to 4 MB: no faster beyond, and a poll for interrupts after each.
std::size_t llama_network::panel_rows(std::uint64_t columns) const noexcept {
  constexpr std::uint64_t most = std::uint64_t{4} << 20;
  return std::max<std::uint64_t>(1, std::min(most, panel_bytes_) / (columns * sizeof(float)));
}

std::uint64_t llama_network::run_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept {
  const std::uint64_t per_token = 2 * std::uint64_t{config_.width} + config_.query_width() + 2 * config_.kv_width() +
                                  2 * std::uint64_t{config_.feed_forward};
  const std::uint64_t angles = longest * config_.rope.dimensions;
  const std::uint64_t scores = threads_.threads() * 64 * longest;
  return 4 * (tokens * per_token + angles + scores) + panel_bytes_;
}

double llama_network::multiplications(std::uint64_t tokens, std::uint64_t states) const noexcept {
  const auto width = static_cast<double>(config_.width), q = static_cast<double>(config_.query_width()),
             kv = static_cast<double>(config_.kv_width()), ff = static_cast<double>(config_.feed_forward);
  const double of_token = static_cast<double>(config_.blocks) * width * (2.0 * q + 2.0 * kv + 3.0 * ff);
  return static_cast<double>(tokens) * of_token +
         static_cast<double>(states) * static_cast<double>(vocabulary_) * width;
}

kv_cache::kv_cache(const llama_config& config, std::uint32_t capacity) : capacity_(capacity) {
  for (std::uint32_t block = 0; block < config.blocks; ++block) {
    keys_.emplace_back(config.kv_width() * capacity);
    values_.emplace_back(config.kv_width() * capacity);
  }
}

std::uint64_t kv_cache::bytes(const llama_config& config, std::uint32_t capacity) noexcept {
  return 2 * sizeof(float) * config.blocks * config.kv_width() * capacity;
}

}  // namespace hartonomous
