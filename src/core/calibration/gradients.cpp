// Running a text backwards, block by block (hartonomous/calibration.hpp).
#include "calibration/input_meter.hpp"
#include "calibration/passes.hpp"
#include "hartonomous/calibration.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous {
namespace {

using namespace calibration_detail;

// A number in [0, 1) for each token of the text, always the same (SplitMix64, Steele et al. 2014).
double draw_of(std::uint64_t token) {
  std::uint64_t z = (token + 1) * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  z ^= z >> 31U;
  return std::ldexp(static_cast<double>(z >> 11U), -53);
}

}  // namespace

void calibration::run_backward(transformer& network, bool collected, std::uint64_t memory, calibration_sink& sink) {
  const std::uint32_t block = 2 * network.config().blocks - step_;
  const watched_network watched(network, nullptr, watcher_);
  if (step_ == network.config().blocks + 1) begin_backward(network);
  if (!collected) {
    run_groups_backward(network, block, {}, true);
  } else {
    const std::vector<linear_input> outputs = matrices_of_step(network, step_);
    const std::vector<std::vector<panel_job>> passes =
        plan_passes(outputs, room_for_sums(outputs, bytes_besides_sums(network, spacing_), memory), memory);
    input_meter meter(network, outputs, watcher_, "gradient by the output");
    const output_gradients add = [&](const std::string& matrix, const float* y, std::size_t tokens, std::size_t rows) {
      meter.input(matrix, {0, rows}, y, tokens, rows);
    };
    for (std::size_t p = 0; p < passes.size(); ++p) {
      meter.begin_pass(passes[p]);
      run_groups_backward(network, block, add, p + 1 == passes.size());
      meter.end_pass();
      for_triangles(network, meter, passes[p], [&](const gram_panel& panel) { sink.gradient_panel(panel); });
    }
  }
  std::vector<float>().swap(streams_[block]);
}

// The states after the last block become the gradients by them.
void calibration::begin_backward(transformer& network) {
  const std::size_t width = network.config().width;
  std::vector<float> copy;
  std::vector<double> draws;
  for (const window_group& g : groups_) {
    float* const states = states_.data() + g.first * width;
    copy.assign(states, states + g.count * width);
    draws.resize(g.count);
    for (std::size_t t = 0; t < g.count; ++t) draws[t] = draw_of(g.first + t);
    network.sampled_loss_gradient(copy.data(), draws, states);
  }
}

const std::vector<float>& calibration::stream_before(transformer& network, std::uint32_t block) {
  std::uint32_t kept = block;
  while (streams_[kept].empty()) --kept;
  for (; kept < block; ++kept) {
    streams_[kept + 1] = streams_[kept];
    for (const window_group& g : groups_) {
      network.run_block(kept, windows_of(g), streams_[kept + 1].data() + g.first * network.config().width);
    }
  }
  return streams_[block];
}

void calibration::run_groups_backward(transformer& network, std::uint32_t block, const output_gradients& outputs,
                                      bool keep) {
  const std::size_t width = network.config().width;
  const std::vector<float>& stream = stream_before(network, block);
  std::vector<float> copy;
  for (const window_group& g : groups_) {
    float* gradients = states_.data() + g.first * width;
    if (!keep) {
      copy.assign(gradients, gradients + g.count * width);
      gradients = copy.data();
    }
    network.run_block_backward(block, windows_of(g), stream.data() + g.first * width, outputs, gradients);
  }
}

}  // namespace hartonomous
