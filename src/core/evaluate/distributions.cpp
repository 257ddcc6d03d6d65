// Comparing the predictions of two networks (distributions.hpp).
#include "evaluate/distributions.hpp"

#include "evaluate/passes.hpp"

#include <algorithm>

namespace hartonomous::evaluate_detail {
namespace {

void add_panel(distribution_pair& pair, const logit_reader& model, const logit_reader& baseline, std::size_t row,
               token_id target) {
  const float *logits = model.logits(row), *reference = baseline.logits(row);
  const std::size_t first = model.first(), count = model.count();
  distribution &m = pair.model, &b = pair.baseline;
  m.mass *= m.raise_top(logits, first, count);
  m.mass += network_detail::exponential_sum(logits, count, m.top);
  const double shrink = b.raise_top(reference, first, count);
  const network_detail::divergence_sums sums = network_detail::exponential_divergence(reference, logits, count, b.top);
  b.mass = b.mass * shrink + sums.mass;
  pair.weighted = pair.weighted * shrink + sums.weighted;
  m.note_target(logits, first, count, target);
  b.note_target(reference, first, count, target);
}

}  // namespace

std::vector<distribution_pair> compare_states(transformer& model, const std::vector<float>& states,
                                              transformer& baseline, const std::vector<float>& references,
                                              span<const token_id> targets) {
  std::vector<distribution_pair> found(targets.size());
  // Both readers must use the same panels.
  const std::size_t columns = std::min({logit_columns(found.size()), model.panel_rows(model.config().width),
                                        baseline.panel_rows(baseline.config().width)});
  logit_reader reader(model, states.data(), found.size(), columns);
  logit_reader reference(baseline, references.data(), found.size(), columns);
  while (reader.next() && reference.next()) {
    for_rows(model, found.size(), [&](std::size_t i) { add_panel(found[i], reader, reference, i, targets[i]); });
  }
  return found;
}

}  // namespace hartonomous::evaluate_detail
