// The output matrix: logits of some states, a panel of the vocabulary at a time (hartonomous/network.hpp).
#include "hartonomous/network.hpp"
#include "network/compute_context.hpp"
#include "network/vectors.hpp"

#include <algorithm>

namespace hartonomous {

logit_reader::logit_reader(transformer& network, const float* states, std::size_t rows, std::size_t panel)
    : network_(network),
      states_(states),
      rows_(rows),
      panel_(std::min({panel, network.panel_rows(network.config_.width), std::size_t{network.vocabulary_}})) {
  network_detail::compute_context& compute = *network_.compute_;
  if (compute.source().find("output.bias")) bias_ = compute.vector_of("output.bias");
  if (compute.observer() != nullptr) {
    compute.observer()->input(network_.output_, {0, network_.vocabulary_}, states, rows, network_.config_.width);
  }
  reader_ = compute.source().open(network_.output_, {0, network_.vocabulary_});
  logits_.resize(rows_ * panel_);
}

bool logit_reader::next() {
  first_ += count_;
  count_ = std::min<std::size_t>(panel_, network_.vocabulary_ - first_);
  if (count_ == 0) return false;
  network_detail::compute_context& compute = *network_.compute_;
  const std::size_t width = network_.config_.width;
  const float* weights = reader_->next(count_);
  if (compute.observer() != nullptr) compute.observer()->rows(network_.output_, first_, count_, weights, width);
  compute.multiply_panel(states_, rows_, width, weights, count_, logits_.data(), count_);
  const float factor = network_.config_.logit_scale, cap = network_.config_.logit_softcap;
  if (!bias_.empty()) {
    for (std::size_t i = 0; i < rows_; ++i) {
      network_detail::add(logits_.data() + i * count_, bias_.data() + first_, count_);
    }
  }
  if (factor != 1.0f || cap != 0.0f) {
    compute.for_runs(rows_, count_, [&](std::size_t from, std::size_t to) {
      float* const logits = logits_.data() + from * count_;
      const std::size_t numbers = (to - from) * count_;
      if (factor != 1.0f) network_detail::scale(logits, numbers, factor);
      if (cap != 0.0f) network_detail::softcap(logits, numbers, cap);
    });
  }
  return true;
}

}  // namespace hartonomous
