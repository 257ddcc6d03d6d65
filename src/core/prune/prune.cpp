// Pruning a group of atoms by importance (hartonomous/prune.hpp).
#include "hartonomous/prune.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace hartonomous {
namespace {

// NaN is last, as in PostgreSQL's order of real.
bool ranks_before(float a, float b) { return std::isnan(b) ? !std::isnan(a) : a < b; }

// floor(n x (1 - keep_ratio)). In floating point, 1 - 0.95 is a little more than 0.05 and 1 - 0.9 a little less than
// 0.1, so a small tolerance is added before rounding down.
std::int64_t share_to_go(std::int64_t atoms, double keep_ratio) {
  const double n = static_cast<double>(atoms);
  return static_cast<std::int64_t>(std::clamp(std::floor(n * (1.0 - keep_ratio) + 1e-9 * n), 0.0, n));
}

}  // namespace

void prune_group::add(std::optional<float> importance, std::int64_t bytes) {
  if (importance) {
    ranked_.push_back({*importance, bytes});
  } else {
    ++unranked_;
    unranked_bytes_ += bytes;
  }
}

prune_summary prune_group::below(float threshold) const {
  prune_summary summary;
  summary.threshold = threshold;
  summary.atoms = static_cast<std::int64_t>(ranked_.size()) + unranked_;
  summary.bytes = unranked_bytes_;
  for (const atom& a : ranked_) {
    const bool goes = ranks_before(a.importance, threshold);
    summary.bytes += a.bytes;
    summary.removed += goes ? 1 : 0;
    summary.removed_bytes += goes ? a.bytes : 0;
  }
  return summary;
}

prune_summary prune_group::keeping(double keep_ratio) const {
  return removing(share_to_go(static_cast<std::int64_t>(ranked_.size()), keep_ratio));
}

prune_summary prune_group::keeping(double keep_ratio, std::int64_t of_atoms) const {
  const std::int64_t present = static_cast<std::int64_t>(ranked_.size()) + unranked_;
  const std::int64_t missing = std::max<std::int64_t>(0, of_atoms - present);
  return removing(std::max<std::int64_t>(0, share_to_go(of_atoms, keep_ratio) - missing));
}

prune_summary prune_group::removing(std::int64_t wanted) const {
  const std::size_t removed = std::min(static_cast<std::size_t>(wanted), ranked_.size());
  if (removed == 0) {
    prune_summary summary = below(-std::numeric_limits<float>::infinity());
    summary.threshold.reset();
    return summary;
  }
  // Nothing is to be kept. All importances rank before NaN except NaN itself, which says nothing and is kept.
  if (removed == ranked_.size()) return below(std::numeric_limits<float>::quiet_NaN());
  std::vector<float> order(ranked_.size());
  std::transform(ranked_.begin(), ranked_.end(), order.begin(), [](const atom& a) { return a.importance; });
  const auto least_kept = order.begin() + static_cast<std::ptrdiff_t>(removed);
  std::nth_element(order.begin(), least_kept, order.end(), ranks_before);
  return below(*least_kept);
}

}  // namespace hartonomous
