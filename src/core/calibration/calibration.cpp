// Running a text step by step, and dividing the Gram matrices of a step into passes (hartonomous/calibration.hpp).
#include "hartonomous/calibration.hpp"

#include "calibration/input_meter.hpp"
#include "hartonomous/error.hpp"

#include <algorithm>
#include <numeric>
#include <string>

namespace hartonomous {
namespace {

using namespace calibration_detail;

// Always the same number, whatever the memory, because sums in float depend on where they begin. With more tokens, the
// saving from reading the weights less often becomes negligible.
constexpr std::size_t group_tokens = 2048;

[[noreturn]] void refuse_memory(const std::string& what, std::uint64_t needed, std::uint64_t memory,
                                const std::string& instead, source_location thrown = source_location::current()) {
  throw error(sqlstate::out_of_memory, what + " needs too much memory",
              "It needs " + std::to_string(needed) + " bytes; the limit is " + std::to_string(memory) + " bytes.",
              "Raise hartonomous.max_work_memory for this session, or " + instead + ".", thrown);
}

std::vector<linear_input> inputs_of_step(const transformer& network, std::uint32_t step) {
  std::vector<linear_input> inputs = linear_inputs(network);
  inputs.erase(std::remove_if(inputs.begin(), inputs.end(), [&](const linear_input& i) { return i.step != step; }),
               inputs.end());
  return inputs;
}

// The panels of the Gram matrices of the step, pass after pass. Error 53200 if a single one needs more than `room`.
std::vector<std::vector<panel_job>> plan_passes(span<const linear_input> inputs, std::uint64_t room,
                                                std::uint64_t memory) {
  std::vector<std::vector<panel_job>> passes(1);
  std::uint64_t bytes = 0;
  std::size_t number = 0;
  for (const linear_input& input : inputs) {
    if (input.tensor != input.shared_with) continue;
    const std::vector<matrix_rows> panels = panels_of(input.columns);
    for (std::uint32_t expert = 0; expert < input.experts; ++expert) {
      for (const matrix_rows& rows : panels) {
        const std::uint64_t added = panel_bytes(input.columns, rows);
        if (added > room) {
          refuse_memory("a Gram matrix of " + std::to_string(input.columns) + " columns", memory - room + added, memory,
                        "collect fewer tokens (max_tokens), or only the diagonal (statistics => 'diagonal')");
        }
        if (bytes + added > room) {
          passes.emplace_back();
          bytes = 0;
        }
        passes.back().push_back({number, expert, rows});
        bytes += added;
      }
    }
    ++number;
  }
  return passes;
}

// What is left of `memory` for sums, with `besides` taken by other things.
std::uint64_t room_for_sums(span<const linear_input> inputs, std::uint64_t besides, std::uint64_t memory) {
  for (const linear_input& input : inputs) {
    const std::uint64_t squares = std::uint64_t{input.experts} * input.columns * sizeof(double);
    besides += input.tensor == input.shared_with ? squares : 0;
  }
  std::uint64_t largest = 0;
  for (const linear_input& input : inputs) {
    for (const matrix_rows& rows : panels_of(input.columns)) {
      largest = std::max(largest, triangle_bytes(input.columns, rows));
    }
  }
  return memory - std::min(memory, besides + largest);
}

// While it lives, a network has an observer and a watcher.
class watched_network {
 public:
  watched_network(transformer& network, linear_observer* observer, const std::function<void(double)>& watcher)
      : network_(network) {
    network_.observe(observer);
    network_.watch(watcher);
  }
  watched_network(const watched_network&) = delete;
  watched_network& operator=(const watched_network&) = delete;
  ~watched_network() {
    network_.observe(nullptr);
    network_.watch({});
  }

 private:
  transformer& network_;
};

// Of one block.
double block_multiplications(const transformer& network, std::size_t tokens) {
  return network.multiplications(tokens, 0) / network.config().blocks;
}

}  // namespace

calibration::calibration(span<const token_id> tokens, std::uint32_t n_ctx, std::optional<token_id> begin)
    : tokens_(tokens.begin(), tokens.end()), n_ctx_(n_ctx) {
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

// The states of all tokens, and a forward pass of one group with copies of its states.
std::uint64_t calibration::bytes_besides_sums(const transformer& network) const {
  const std::size_t longest = std::min<std::size_t>(n_ctx_, tokens_.size());
  return kept_bytes(network, tokens_.size()) + network.run_bytes(groups_.front().count, longest) +
         2 * kept_bytes(network, groups_.front().count);
}

void calibration::begin(transformer& network, std::uint64_t memory) {
  const std::uint64_t needed = bytes_besides_sums(network);
  if (needed > memory) {
    refuse_memory("a calibration on " + std::to_string(tokens_.size()) + " tokens", needed, memory,
                  "collect fewer tokens (max_tokens)");
  }
  if (!states_.empty()) return;
  const std::size_t width = network.config().width;
  states_.resize(tokens_.size() * width);
  for (const window_group& g : groups_) {
    network.interrupts().check();
    network.embed({tokens_.data() + g.first, g.count}, states_.data() + g.first * width);
  }
}

void calibration::run_step(transformer& network, std::optional<statistics_kind> kind, std::uint64_t memory,
                           calibration_sink& sink) {
  if (step_ > network.config().blocks) throw error(sqlstate::invalid_parameter_value, "there are no more steps");
  begin(network, memory);
  const std::vector<linear_input> inputs = inputs_of_step(network, step_);
  if (!kind) {
    run_groups(network, nullptr, true);
  } else {
    std::vector<std::vector<panel_job>> passes(1);
    if (*kind == statistics_kind::gram) {
      passes = plan_passes(inputs, room_for_sums(inputs, bytes_besides_sums(network), memory), memory);
    }
    input_meter meter(network, inputs, watcher_);
    std::vector<float> values;
    for (std::size_t p = 0; p < passes.size(); ++p) {
      meter.begin_pass(passes[p]);
      run_groups(network, &meter, p + 1 == passes.size());
      meter.end_pass();
      if (p == 0) sink.sums(meter.sums());
      for (std::size_t i = 0; i < passes[p].size(); ++i) {
        network.interrupts().check();
        const panel_job& job = passes[p][i];
        if (!meter.triangle(i, values)) continue;
        sink.panel({meter.inputs()[job.input].tensor, job.expert, static_cast<std::uint32_t>(job.rows.first), values});
      }
    }
  }
  ++step_;
}

void calibration::run_groups(transformer& network, linear_observer* meter, bool keep) {
  const watched_network watched(network, meter, watcher_);
  for (const window_group& g : groups_) run_group(network, g, meter, keep);
}

void calibration::run_group(transformer& network, const window_group& g, linear_observer* meter, bool keep) {
  const std::size_t width = network.config().width;
  float* const states = states_.data() + g.first * width;
  std::vector<float> copy;
  if (!keep || step_ == network.config().blocks) copy.assign(states, states + g.count * width);
  if (step_ == network.config().blocks) {
    std::vector<std::size_t> all(g.count);
    std::iota(all.begin(), all.end(), std::size_t{0});
    const std::vector<float> normed = network.normed(copy, all);
    if (meter != nullptr) {
      meter->input(network.output_matrix(), {0, network.vocabulary()}, normed.data(), g.count, width);
    }
    return;
  }
  std::vector<token_sequence> windows;
  for (std::size_t at = g.first; at < g.first + g.count; at += n_ctx_) {
    windows.push_back({{tokens_.data() + at, std::min<std::size_t>(n_ctx_, g.first + g.count - at)}, nullptr});
  }
  network.run_block(step_, windows, copy.empty() ? states : copy.data());
}

double calibration::multiplications(const transformer& network, std::uint32_t step, std::optional<statistics_kind> kind,
                                    std::uint64_t memory) const {
  const double forward = step < network.config().blocks ? block_multiplications(network, tokens_.size()) : 0.0;
  if (kind != statistics_kind::gram) return forward;
  const std::vector<linear_input> inputs = inputs_of_step(network, step);
  const std::uint64_t room = room_for_sums(inputs, bytes_besides_sums(network), memory);
  const std::vector<std::vector<panel_job>> passes = plan_passes(inputs, room, memory);
  double products = 0.0;
  for (const linear_input& input : inputs) {
    if (input.tensor != input.shared_with) continue;
    // All experts together see each token experts_used times.
    const std::size_t tokens = tokens_.size() * (input.experts > 1 ? network.config().experts_used : 1);
    for (const matrix_rows& rows : panels_of(input.columns)) {
      products += panel_multiplications(input.columns, rows, tokens);
    }
  }
  return forward * static_cast<double>(passes.size()) + products;
}

}  // namespace hartonomous
