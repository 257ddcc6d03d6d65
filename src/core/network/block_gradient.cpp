// Gradients through norms, matrices and the feed-forward network, and the order of the parts (block_gradient.hpp).
#include "network/block_gradient.hpp"

#include "network/block_pass.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace hartonomous::network_detail {

// With s = 1 / sqrt(mean of squares + epsilon): dx = s w dy - x s^3 / n * (sum of dy w x).
void add_norm_gradient(const float* x, const float* weight, float epsilon, const float* of_y, float* gradient,
                       std::size_t count) {
  double squares = 0.0, along = 0.0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto v = static_cast<double>(x[i]);
    squares += v * v;
    along += static_cast<double>(of_y[i]) * static_cast<double>(weight[i]) * v;
  }
  const auto n = static_cast<double>(count);
  const double scale = 1.0 / std::sqrt(squares / n + static_cast<double>(epsilon));
  const auto direct = static_cast<float>(scale), back = static_cast<float>(scale * scale * scale * along / n);
  for (std::size_t i = 0; i < count; ++i) gradient[i] += direct * weight[i] * of_y[i] - back * x[i];
}

block_gradient::block_gradient(const hyperparameters& config, std::uint32_t block, compute_context& compute,
                               const batch& passed, const tape& parts, const output_gradients& outputs, float* stream)
    : config_(config),
      block_(block),
      compute_(compute),
      batch_(passed),
      tape_(parts),
      outputs_(outputs),
      stream_(stream),
      normed_(passed.normed.size()),
      attended_(passed.q.size()),
      q_(passed.q.size()),
      k_(passed.k.size()),
      v_(passed.v.size()),
      gate_(passed.gate.size()),
      up_(passed.up.size()),
      masses_(passed.size() * config.heads),
      shares_(passed.size() * config.heads) {}

std::uint64_t block_gradient::bytes(const hyperparameters& config, std::uint64_t tokens) noexcept {
  const std::uint64_t inner = config.inner_width();
  const std::uint64_t recorded = 2 * std::uint64_t{config.width} + 2 * config.query_width() + config.kv_width() + inner;
  const std::uint64_t own =
      config.width + 2 * config.query_width() + 2 * config.kv_width() + 2 * inner + 2 * std::uint64_t{config.heads};
  return sizeof(float) * tokens * (recorded + own);
}

void block_gradient::run() {
  for (auto part = tape_.rbegin(); part != tape_.rend(); ++part) through(*part);
}

void block_gradient::through(const recorded_part& part) {
  switch (part.part) {
    case block_part::norm:
      return through_norm(part);
    case block_part::projections:
      return through_projections();
    case block_part::head_norms:
      return through_head_norms(part);
    case block_part::rotation:
      return through_rotation();
    case block_part::attention:
      return through_attention(part);
    case block_part::output_projection:
      return through_output_projection();
    case block_part::feed_forward:
      return through_feed_forward(part);
    case block_part::addition:
      return through_addition();
  }
}

void block_gradient::through_matrix(const char* name, const std::vector<float>& y, std::size_t rows,
                                    std::vector<float>& x, std::size_t columns) {
  const std::string tensor = block_tensor(block_, name) + ".weight";
  if (outputs_) outputs_(tensor, y.data(), batch_.size(), rows);
  compute_.add_transposed_product(tensor, y.data(), batch_.size(), rows, x.data(), columns);
}

// What is added to the stream has the gradient of the stream, which itself stays as it is.
void block_gradient::through_addition() { std::copy_n(stream_, normed_.size(), normed_.data()); }

void block_gradient::through_norm(const recorded_part& part) {
  const std::vector<float> weight = compute_.vector_of(block_tensor(block_, part.norm) + ".weight");
  const std::size_t width = config_.width;
  compute_.for_runs(batch_.size(), width, [&](std::size_t from, std::size_t to) {
    for (std::size_t at = from * width; at < to * width; at += width) {
      add_norm_gradient(part.first.data() + at, weight.data(), config_.epsilon, normed_.data() + at, stream_ + at,
                        width);
    }
  });
}

void block_gradient::through_head_norms(const recorded_part& part) {
  const std::size_t size = config_.head_size;
  const auto of = [&](const char* norm, const std::vector<float>& x, std::vector<float>& gradient) {
    const std::vector<float> weight = compute_.vector_of(block_tensor(block_, norm));
    compute_.for_runs(x.size() / size, size, [&](std::size_t from, std::size_t to) {
      std::vector<float> of_x(size);
      for (std::size_t at = from * size; at < to * size; at += size) {
        std::fill(of_x.begin(), of_x.end(), 0.0f);
        add_norm_gradient(x.data() + at, weight.data(), config_.epsilon, gradient.data() + at, of_x.data(), size);
        std::copy_n(of_x.data(), size, gradient.data() + at);
      }
    });
  };
  of("attn_q_norm.weight", part.first, q_);
  of("attn_k_norm.weight", part.second, k_);
}

void block_gradient::through_projections() {
  const std::size_t width = config_.width;
  std::fill(normed_.begin(), normed_.end(), 0.0f);
  through_matrix("attn_q", q_, config_.query_width(), normed_, width);
  through_matrix("attn_k", k_, config_.kv_width(), normed_, width);
  through_matrix("attn_v", v_, config_.kv_width(), normed_, width);
}

void block_gradient::through_output_projection() {
  std::fill(attended_.begin(), attended_.end(), 0.0f);
  through_matrix("attn_output", normed_, config_.width, attended_, config_.query_width());
}

namespace {

// Gradients of gate and up from that of y = silu(gate) * up, which is in `y` and becomes that of gate.
void through_gate(const float* gate, const float* up, float* y, float* of_up, std::size_t count) {
  std::array<float, 256> e;
  for (std::size_t first = 0; first < count; first += e.size()) {
    const std::size_t run = std::min(e.size(), count - first);
    for (std::size_t i = 0; i < run; ++i) e[i] = -gate[first + i];
    exponentials(e.data(), run, 0.0f);
    for (std::size_t i = 0; i < run; ++i) {
      const std::size_t at = first + i;
      const float share = 1.0f / (1.0f + e[i]), of_y = y[at];
      of_up[at] = of_y * gate[at] * share;
      y[at] = of_y * up[at] * share * (1.0f + gate[at] * (1.0f - share));
    }
  }
}

}  // namespace

void block_gradient::through_feed_forward(const recorded_part& part) {
  const std::size_t width = config_.width, inner = config_.feed_forward;
  std::fill(gate_.begin(), gate_.end(), 0.0f);
  through_matrix("ffn_down", normed_, width, gate_, inner);
  compute_.for_runs(batch_.size(), inner, [&](std::size_t from, std::size_t to) {
    const std::size_t at = from * inner;
    through_gate(part.first.data() + at, batch_.up.data() + at, gate_.data() + at, up_.data() + at,
                 (to - from) * inner);
  });
  std::fill(normed_.begin(), normed_.end(), 0.0f);
  through_matrix("ffn_gate", gate_, inner, normed_, width);
  through_matrix("ffn_up", up_, inner, normed_, width);
}

}  // namespace hartonomous::network_detail
