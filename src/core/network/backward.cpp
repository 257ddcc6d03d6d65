// The backward pass of a network: the loss and the output matrix, and a block that is run again and then backwards
// (hartonomous/network.hpp).
#include "hartonomous/error.hpp"
#include "hartonomous/network.hpp"
#include "network/block_gradient.hpp"
#include "network/architecture.hpp"
#include "network/block_pass.hpp"
#include "network/compute_context.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous {
namespace {

// The vocabulary, so many tokens at a time; sums begin anew after each run, wherever panels end.
constexpr std::size_t most_columns = 1024, run = 64;

// The log of a sum of exponentials, in double.
struct log_mass {
  float top = -INFINITY;
  double sum = 0.0;

  void add(const float* logits, std::size_t count) {
    for (std::size_t first = 0; first < count; first += run) {
      const std::size_t size = std::min(run, count - first);
      const float higher = std::max(top, network_detail::maximum(logits + first, size));
      sum = sum * std::exp(static_cast<double>(top) - static_cast<double>(higher)) +
            network_detail::exponential_sum(logits + first, size, higher);
      top = higher;
    }
  }
  double value() const { return static_cast<double>(top) + std::log(sum); }
};

// Where the cumulative probability of a row stands, and the token at which it passed the draw.
struct drawn_label {
  double draw = 0.0, cumulative = 0.0;
  token_id label = 0;
  bool found = false;
};

// Turns logits into the gradient of the cross entropy: probabilities, less 1 at the label.
void to_gradient(float* logits, std::size_t first, std::size_t count, double mass, drawn_label& drawn) {
  for (std::size_t j = 0; j < count; ++j) {
    const double p = std::exp(static_cast<double>(logits[j]) - mass);
    logits[j] = static_cast<float>(p);
    if (drawn.found) continue;
    drawn.cumulative += p;
    drawn.label = static_cast<token_id>(first + j);
    if (drawn.cumulative <= drawn.draw) continue;
    drawn.found = true;
    logits[j] = static_cast<float>(p - 1.0);
  }
}

}  // namespace

std::uint64_t transformer::backward_bytes(std::uint64_t tokens, std::uint64_t longest) const noexcept {
  const std::uint64_t scores = sizeof(float) * compute_->threads().threads() * 64 * longest;
  const std::uint64_t panel = compute_->transposed_panel_rows(config_.inner_width()) * config_.inner_width();
  const std::uint64_t block = run_bytes(tokens, longest) + network_detail::block_gradient::bytes(config_, tokens) +
                              scores + panel * sizeof(float);
  const std::uint64_t loss = tokens * (2 * config_.width + most_columns) * sizeof(float) + compute_->panel_bytes();
  return std::max(block, loss);
}

// There are gradients of llama's blocks and of norms of heads.
void transformer::check_gradients() const {
  const hyperparameters& c = config_;
  const block_parts& parts = c.architecture->parts;
  const bool plain = parts.norm == norm_kind::root_mean_square && parts.inner_activation == activation::silu &&
                     c.attention_softcap == 0.0f && c.logit_softcap == 0.0f && c.embedding_scale == 1.0f &&
                     c.residual_scale == 1.0f && c.logit_scale == 1.0f && c.query_growth == 0.0f && !c.long_factors &&
                     !parts.learned_positions && c.window == 0;
  const bool usual = parts.inner == feed_forward_form::gated && parts.heads != head_norms::whole &&
                     !parts.joined_projections && parts.norms_before && !parts.norms_after && !parts.sinks;
  if (c.experts == 0 && plain && usual) return;
  throw error(sqlstate::feature_not_supported, c.experts > 0 ? "gradients of a model with experts cannot be computed"
                                                             : std::string("gradients of a model of architecture ") +
                                                                   c.architecture->name + " cannot be computed");
}

// Computes the logits of normed states, whole runs of columns at a time, and has them seen with the weights that they
// come from.
void transformer::for_logits(const float* normed, std::size_t rows, const logit_visitor& visit) {
  const std::size_t width = config_.width, vocabulary = vocabulary_;
  std::vector<float> bias;
  if (compute_->source().find("output.bias")) bias = compute_->vector_of("output.bias");
  const auto reader = compute_->source().open(output_, {0, vocabulary});
  const std::size_t panel = std::min(most_columns, compute_->transposed_panel_rows(width));
  std::vector<float> logits(rows * panel);
  for (std::size_t first = 0; first < vocabulary; first += panel) {
    const std::size_t count = std::min(panel, vocabulary - first);
    const float* weights = reader->next(count);
    compute_->multiply_panel(normed, rows, width, weights, count, logits.data(), count);
    compute_->for_runs(rows, 8 * count, [&](std::size_t from, std::size_t to) {
      for (std::size_t i = from; i < to; ++i) {
        if (!bias.empty()) network_detail::add(logits.data() + i * count, bias.data() + first, count);
        visit.row(i, logits.data() + i * count, first, count);
      }
    });
    if (visit.panel) visit.panel(logits.data(), count, weights);
  }
}

// A draw that the probabilities, by rounding, do not sum up to is the last token.
std::vector<token_id> transformer::sampled_loss_gradient(const float* states, span<const double> draws,
                                                         float* gradients) {
  check_gradients();
  const std::size_t rows = draws.size(), width = config_.width;
  std::vector<float> normed(rows * width), of_normed(rows * width, 0.0f);
  compute_->normalize_rows("output_norm.weight", config_.epsilon, states, rows, width, normed.data());
  std::vector<log_mass> masses(rows);
  for_logits(normed.data(), rows,
             {[&](std::size_t i, float* logits, std::size_t, std::size_t count) { masses[i].add(logits, count); }, {}});
  std::vector<drawn_label> drawn(rows);
  for (std::size_t i = 0; i < rows; ++i) drawn[i].draw = draws[i];
  for_logits(normed.data(), rows,
             {[&](std::size_t i, float* logits, std::size_t first, std::size_t count) {
                to_gradient(logits, first, count, masses[i].value(), drawn[i]);
                if (first + count == vocabulary_ && !drawn[i].found) logits[count - 1] -= 1.0f;
              },
              [&](const float* logits, std::size_t count, const float* weights) {
                compute_->add_transposed_panel(logits, count, rows, weights, count, width, of_normed.data());
              }});
  const std::vector<float> scale = compute_->vector_of("output_norm.weight");
  compute_->for_runs(rows, width, [&](std::size_t from, std::size_t to) {
    for (std::size_t at = from * width; at < to * width; at += width) {
      std::fill_n(gradients + at, width, 0.0f);
      network_detail::add_norm_gradient(states + at, scale.data(), config_.epsilon, of_normed.data() + at,
                                        gradients + at, width);
    }
  });
  std::vector<token_id> labels(rows);
  std::transform(drawn.begin(), drawn.end(), labels.begin(), [](const drawn_label& d) { return d.label; });
  return labels;
}

void transformer::run_block_backward(std::uint32_t block, span<const token_sequence> sequences, const float* states,
                                     const output_gradients& outputs, float* gradients) {
  check_gradients();
  check_sequences(sequences);
  network_detail::batch b(config_, sequences, *rope_factors_);
  std::copy_n(states, b.x.size(), b.x.data());
  network_detail::tape parts;
  network_detail::block_pass pass(config_, block, *compute_, b, &parts);
  config_.architecture->run_block(pass);
  network_detail::block_gradient(config_, block, *compute_, b, parts, outputs, gradients).run();
}

}  // namespace hartonomous
