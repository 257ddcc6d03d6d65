// Which atoms of a group (a tensor, or a model) pruning removes: a cut in their importance.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace hartonomous {

struct prune_summary {
  std::optional<float> cut;  // atoms of importance strictly below it go; none: nothing goes
  std::int64_t atoms = 0, removed = 0;
  std::int64_t bytes = 0, removed_bytes = 0;
};

// Collects a group's atoms, then cuts.
class prune_group {
 public:
  // An atom without importance (nullopt) is counted and never removed; NaN ranks above everything.
  void add(std::optional<float> importance, std::int64_t bytes);

  // Removes what is below the threshold.
  prune_summary below(float threshold) const;
  // Removes the least important floor(n x (1 - keep_ratio)) of the n atoms that have an importance, except that atoms
  // tied with the least important of those kept stay: never more goes than asked for. keep_ratio is in [0, 1].
  prune_summary keeping(double keep_ratio) const;
  // The same of a group that once had of_atoms atoms, with an importance or without: those that are missing today count
  // among the floor(of_atoms x (1 - keep_ratio)), so that asking again for the same ratio removes nothing more.
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
