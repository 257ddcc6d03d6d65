// Running a text step by step (hartonomous/calibration.hpp).
#include "hartonomous/calibration.hpp"

#include "calibration/input_meter.hpp"
#include "calibration/passes.hpp"
#include "evaluate/passes.hpp"
#include "hartonomous/error.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

namespace hartonomous {
namespace {

using namespace calibration_detail;

// Always the same number, whatever the memory, because sums in float depend on where they begin. With more tokens, the
// saving from reading the weights less often becomes negligible.
constexpr std::size_t group_tokens = 2048;

// The exponentials of the logits of one state: their sum and that of their squares, relative to exp(top) and its
// square.
struct exponential_sums {
  float top = -std::numeric_limits<float>::infinity();
  double sum = 0.0, squares = 0.0;

  void add(span<const float> logits) {
    std::vector<float> powers(logits.begin(), logits.end());
    const float most = std::max(top, network_detail::maximum(powers.data(), powers.size()));
    const double shrink = std::exp(static_cast<double>(top) - static_cast<double>(most));
    top = most;
    sum *= shrink;
    squares *= shrink * shrink;
    network_detail::exponentials(powers.data(), powers.size(), top);
    for (const float p : powers) {
      sum += static_cast<double>(p);
      squares += static_cast<double>(p) * static_cast<double>(p);
    }
  }
};

// 1 - the sum of p^2 for each state, which predicts tokens with probabilities p. The observer is told of the input.
std::vector<float> uncertainties(transformer& network, const std::vector<float>& normed, std::size_t count) {
  std::vector<exponential_sums> sums(count);
  logit_reader reader(network, normed.data(), count, evaluate_detail::logit_columns(count));
  while (reader.next()) {
    evaluate_detail::for_rows(network, count, [&](std::size_t row) {
      sums[row].add({reader.logits(row), reader.count()});
    });
  }
  std::vector<float> found(count);
  std::transform(sums.begin(), sums.end(), found.begin(),
                 [](const exponential_sums& s) { return static_cast<float>(1.0 - s.squares / (s.sum * s.sum)); });
  return found;
}

}  // namespace

calibration::calibration(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin,
                         bool gradients)
    : tokens_(tokens.begin(), tokens.end()), n_ctx_(n_ctx), gradients_(gradients) {
  if (n_ctx == 0) throw error(sqlstate::invalid_parameter_value, "n_ctx must be at least 1, not 0");
  if (tokens.empty()) throw error(sqlstate::invalid_parameter_value, "the text has no tokens");
  for (std::size_t at = 0; begin && at < tokens_.size(); at += n_ctx) tokens_[at] = *begin;
  const std::size_t count = std::max<std::size_t>(1, group_tokens / n_ctx) * n_ctx;
  for (std::size_t at = 0; at < tokens_.size(); at += count) {
    groups_.push_back({at, std::min(count, tokens_.size() - at)});
  }
}

std::uint64_t calibration::kept_bytes(const transformer& network, std::uint64_t tokens) noexcept {
  return tokens * network.config().width * sizeof(float);
}

std::uint32_t calibration::steps(const transformer& network) const noexcept {
  return network.config().blocks + 1 + (gradients_ ? network.config().blocks : 0);
}

// The states of all tokens, and a pass of one group with copies of its states.
std::uint64_t calibration::bytes_besides_sums(const transformer& network, std::uint32_t spacing) const {
  const std::size_t longest = std::min<std::size_t>(n_ctx_, tokens_.size()), count = groups_.front().count;
  std::uint64_t pass = network.run_bytes(count, longest);
  if (gradients_) pass = std::max(pass, network.backward_bytes(count, longest));
  const std::uint64_t streams = gradients_ ? kept_streams(network.config().blocks, spacing) : 0;
  // What attention sees: the means, the inputs times their weights, and the weights of each tile of 64 queries.
  const std::uint64_t tiles = network.config().heads * (count / 64 + count / longest + 1);
  const std::uint64_t attended = 2 * kept_bytes(network, count) + tiles * longest * sizeof(float);
  const std::uint64_t logits =
      sizeof(float) * count * std::min<std::uint64_t>(evaluate_detail::logit_columns(count), network.vocabulary());
  return (1 + streams) * kept_bytes(network, tokens_.size()) + pass + 2 * kept_bytes(network, count) +
         std::max(attended, logits);
}

std::uint32_t calibration::spacing_for(const transformer& network, std::uint64_t memory) const {
  const std::uint32_t blocks = network.config().blocks;
  std::uint32_t best = 1;
  for (std::uint32_t spacing = 1; spacing <= blocks; ++spacing) {
    if (bytes_besides_sums(network, spacing) <= memory) return spacing;
    if (kept_streams(blocks, spacing) < kept_streams(blocks, best)) best = spacing;
  }
  return best;
}

void calibration::begin(transformer& network, std::uint64_t memory) {
  if (states_.empty()) spacing_ = spacing_for(network, memory);
  const std::uint64_t needed = bytes_besides_sums(network, spacing_);
  if (needed > memory) {
    refuse_memory("a calibration on " + std::to_string(tokens_.size()) + " tokens", needed, memory,
                  "collect fewer tokens (max_tokens)");
  }
  if (!states_.empty()) return;
  const std::size_t width = network.config().width;
  states_.resize(tokens_.size() * width);
  streams_.resize(network.config().blocks);
  for (const window_group& g : groups_) {
    network.interrupts().check();
    network.embed(windows_of(g), states_.data() + g.first * width);
  }
}

void calibration::run_step(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                           calibration_sink& sink) {
  if (step_ >= steps(network)) throw error(sqlstate::invalid_parameter_value, "there are no more steps");
  begin(network, memory);
  if (gradients_ && step_ < network.config().blocks && step_ % spacing_ == 0) streams_[step_] = states_;
  step_ <= network.config().blocks ? run_forward(network, kind, memory, sink)
                                   : run_backward(network, kind.has_value(), memory, sink);
  ++step_;
}

std::vector<linear_input> calibration::matrices_of_step(const transformer& network, std::uint32_t step) const {
  std::vector<linear_input> all =
      step <= network.config().blocks ? linear_inputs(network) : output_gradients_of(network);
  all.erase(std::remove_if(all.begin(), all.end(), [&](const linear_input& i) { return i.step != step; }), all.end());
  return all;
}

void calibration::run_forward(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                              calibration_sink& sink) {
  if (!kind) return run_groups(network, nullptr, true);
  const std::vector<linear_input> inputs = matrices_of_step(network, step_);
  std::vector<std::vector<panel_job>> passes(1);
  if (*kind != statistics_kind::diagonal) {
    passes = plan_passes(inputs, room_for_sums(inputs, bytes_besides_sums(network, spacing_), memory), memory);
  }
  input_meter meter(network, inputs, watcher_);
  for (std::size_t p = 0; p < passes.size(); ++p) {
    meter.begin_pass(passes[p]);
    run_groups(network, &meter, p + 1 == passes.size());
    meter.end_pass();
    if (p == 0) sink.sums(meter.sums());
    for_triangles(network, meter, passes[p], [&](const gram_panel& panel) { sink.panel(panel); });
  }
}

std::vector<token_sequence> calibration::windows_of(const window_group& g) const {
  std::vector<token_sequence> windows;
  for (std::size_t at = g.first; at < g.first + g.count; at += n_ctx_) {
    windows.push_back({{tokens_.data() + at, std::min<std::size_t>(n_ctx_, g.first + g.count - at)}, nullptr});
  }
  return windows;
}

void calibration::run_groups(transformer& network, input_meter* meter, bool keep) {
  const watched_network watched(network, meter, watcher_);
  for (const window_group& g : groups_) run_group(network, g, meter, keep);
}

void calibration::run_group(transformer& network, const window_group& g, input_meter* meter, bool keep) {
  const std::size_t width = network.config().width;
  float* const states = states_.data() + g.first * width;
  std::vector<float> copy;
  if (!keep || step_ == network.config().blocks) copy.assign(states, states + g.count * width);
  if (step_ == network.config().blocks) {
    std::vector<std::size_t> all(g.count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    const std::vector<float> normed = network.normed(copy, all);
    if (meter != nullptr && meter->attends()) {
      const std::vector<float> weights = uncertainties(network, normed, g.count);
      meter->weighted(network.output_matrix(), normed.data(), weights, g.count, width);
    } else if (meter != nullptr) {
      meter->input(network.output_matrix(), {0, network.vocabulary()}, normed.data(), g.count, width);
    }
    return;
  }
  network.run_block(step_, windows_of(g), copy.empty() ? states : copy.data());
}

double calibration::multiplications(const transformer& network, std::uint32_t step, std::optional<statistics_kind> kind,
                                    std::uint64_t memory) const {
  const std::uint32_t blocks = network.config().blocks, spacing = spacing_for(network, memory);
  const double block = network.multiplications(tokens_.size(), 0) / blocks;
  // Backwards each product is done once more, and a block first forwards again.
  double run = step < blocks ? block : step > blocks ? 2.0 * block : 0.0;
  double once = 0.0;
  if (step == blocks + 1) once += 3.0 * network.multiplications(0, tokens_.size());
  if (step > blocks) once += block * recomputed_blocks(blocks, spacing, 2 * blocks - step);
  if (!kind || kind == statistics_kind::diagonal) return run + once;
  const std::vector<linear_input> matrices = matrices_of_step(network, step);
  if (step == blocks && matrices.front().predicts) run = network.multiplications(0, tokens_.size());
  const std::uint64_t room = room_for_sums(matrices, bytes_besides_sums(network, spacing), memory);
  const std::size_t passes = plan_passes(matrices, room, memory).size();
  return run * static_cast<double>(passes) + once +
         sum_multiplications(matrices, tokens_.size(), network.config().experts_used);
}

}  // namespace hartonomous
