// Matrix products with weights that come a panel at a time, and the logits (hartonomous/llama.hpp).
#include "hartonomous/llama.hpp"
#include "linear_algebra/sgemm.hpp"
#include "llama/vectors.hpp"

#include <algorithm>

namespace hartonomous {

// Calls task(from, to) for runs of `count` things of some floats each: work of well below a millisecond a run.
void llama_network::for_runs(std::size_t count, std::size_t floats_each,
                             const std::function<void(std::size_t, std::size_t)>& task) {
  constexpr std::size_t floats = 1 << 16;
  const std::size_t run = std::max<std::size_t>(1, floats / std::max<std::size_t>(1, floats_each));
  threads_.run((count + run - 1) / run, check_, [&](std::size_t i) { task(i * run, std::min(count, (i + 1) * run)); });
}

// Cut into products of a few milliseconds, as many tokens as that allows so that weights are packed seldom; always in
// the same places, so that sums do not depend on the threads.
void llama_network::multiply_panel(const float* x, std::size_t tokens, std::size_t columns, const float* panel,
                                   std::size_t rows, float* y, std::size_t stride) {
  constexpr std::size_t row_run = 256, multiplications = std::size_t{1} << 27;
  const std::size_t token_run = std::clamp<std::size_t>(multiplications / (row_run * columns), 64, 512);
  const std::size_t token_runs = (tokens + token_run - 1) / token_run, row_runs = (rows + row_run - 1) / row_run;
  threads_.run(token_runs * row_runs, check_, [&](std::size_t task) {
    const std::size_t t = task / row_runs * token_run, r = task % row_runs * row_run;
    multiply_transposed({x + t * columns, std::min(token_run, tokens - t), columns, columns},
                        {panel + r * columns, std::min(row_run, rows - r), columns, columns}, 1.0f, y + t * stride + r,
                        stride);
  });
  if (watcher_) watcher_(static_cast<double>(tokens) * static_cast<double>(rows) * static_cast<double>(columns));
}

void llama_network::linear(const std::string& name, const float* x, std::size_t tokens, std::size_t columns, float* y,
                           std::size_t rows) {
  const std::string weight = name + ".weight";
  if (observer_ != nullptr) observer_->input(weight, x, tokens, columns);
  const auto reader = source_.open(weight);
  const std::size_t panel = panel_rows(columns);
  for (std::size_t first = 0; first < rows; first += panel) {
    const std::size_t count = std::min(panel, rows - first);
    const float* weights = reader->next(count);
    if (observer_ != nullptr) observer_->rows(weight, first, count, weights, columns);
    multiply_panel(x, tokens, columns, weights, count, y + first, rows);
  }
  if (source_.find(name + ".bias")) add_bias(name + ".bias", y, tokens, rows);
}

void llama_network::add_bias(const std::string& name, float* y, std::size_t tokens, std::size_t rows) {
  const std::vector<float> bias = vector_of(name);
  for_runs(tokens, rows, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) llama_detail::add(y + t * rows, bias.data(), rows);
  });
}

void llama_network::norm_rows(const std::string& name, const float* x, std::size_t rows, std::size_t columns,
                              float* out) {
  const std::vector<float> weight = vector_of(name);
  for_runs(rows, columns, [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      llama_detail::rms_norm(x + i * columns, weight.data(), config_.epsilon, out + i * columns, columns);
    }
  });
}

std::vector<float> llama_network::normed(const std::vector<float>& states, span<const std::size_t> rows) {
  const std::size_t width = config_.width;
  std::vector<float> out(rows.size() * width);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::copy_n(states.begin() + static_cast<std::ptrdiff_t>(rows[i] * width), width,
                out.begin() + static_cast<std::ptrdiff_t>(i * width));
  }
  norm_rows("output_norm.weight", out.data(), rows.size(), width, out.data());
  return out;
}

logit_reader::logit_reader(llama_network& network, const float* states, std::size_t rows, std::size_t panel)
    : network_(network),
      states_(states),
      rows_(rows),
      panel_(std::min({panel, network.panel_rows(network.config_.width), std::size_t{network.vocabulary_}})) {
  if (network_.source_.find("output.bias")) bias_ = network_.vector_of("output.bias");
  if (network_.observer_ != nullptr) network_.observer_->input(network_.output_, states, rows, network_.config_.width);
  reader_ = network_.source_.open(network_.output_);
  logits_.resize(rows_ * panel_);
}

bool logit_reader::next() {
  first_ += count_;
  count_ = std::min<std::size_t>(panel_, network_.vocabulary_ - first_);
  if (count_ == 0) return false;
  const std::size_t width = network_.config_.width;
  const float* weights = reader_->next(count_);
  if (network_.observer_ != nullptr) network_.observer_->rows(network_.output_, first_, count_, weights, width);
  network_.multiply_panel(states_, rows_, width, weights, count_, logits_.data(), count_);
  if (!bias_.empty()) {
    for (std::size_t i = 0; i < rows_; ++i) {
      llama_detail::add(logits_.data() + i * count_, bias_.data() + first_, count_);
    }
  }
  return true;
}

}  // namespace hartonomous
