// Which atoms of a group (a tensor or a model) pruning removes: those whose importance is below a threshold.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hartonomous {

struct prune_summary {
  std::optional<float> threshold;  // atoms with an importance strictly below it are removed; no value: none is
  std::int64_t atoms = 0, removed = 0;
  std::int64_t bytes = 0, removed_bytes = 0;
};

// Collects the atoms of a group, then finds the threshold.
class prune_group {
 public:
  // An atom without an importance (nullopt) is counted but never removed; NaN ranks above everything.
  void add(std::optional<float> importance, std::int64_t bytes);

  // Removes the atoms below the threshold.
  prune_summary below(float threshold) const;
  // Removes the least important floor(n x (1 - keep_ratio)) of the n atoms that have an importance. Atoms that tie with
  // the least important atom kept are kept, too, so never more is removed than asked for. keep_ratio is in [0, 1].
  prune_summary keeping(double keep_ratio) const;
  // The same for a group that originally had of_atoms atoms, with or without an importance. Missing atoms count towards
  // the floor(of_atoms x (1 - keep_ratio)) that are removed, so pruning again to the same ratio removes nothing more.
  prune_summary keeping(double keep_ratio, std::int64_t of_atoms) const;

 private:
  prune_summary removing(std::int64_t wanted) const;

  struct atom {
    float importance;
    std::int64_t bytes;
  };
  std::vector<atom> ranked_;
  std::int64_t unranked_ = 0, unranked_bytes_ = 0;
};

}  // namespace hartonomous
