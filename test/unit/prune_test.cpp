// The cut that pruning makes in a group of atoms.
#include "hartonomous/prune.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace hartonomous {
namespace {

prune_group group_of(std::initializer_list<float> scores) {
  prune_group group;
  for (float s : scores) group.add(s, 10);
  return group;
}

TEST(Prune, KeepsTheMostImportant) {
  const prune_summary s = group_of({5, 1, 4, 2, 3}).keeping(0.6);
  EXPECT_EQ(s.threshold, 3.0f);
  EXPECT_EQ(s.atoms, 5);
  EXPECT_EQ(s.removed, 2);
  EXPECT_EQ(s.bytes, 50);
  EXPECT_EQ(s.removed_bytes, 20);
}

TEST(Prune, RemovesExactlyTheShareAskedFor) {
  // 1 - 0.95 is not 0.05 in binary; 5 % of 100 are 5 atoms all the same.
  for (int n : {20, 100, 1000, 100000}) {
    prune_group group;
    for (int i = 0; i < n; ++i) group.add(static_cast<float>(i), 1);
    EXPECT_EQ(group.keeping(0.95).removed, n / 20) << n;
    EXPECT_EQ(group.keeping(0.4).removed, n * 6 / 10) << n;
  }
}

TEST(Prune, TiesWithTheLeastKeptStay) {
  const prune_summary s = group_of({1, 2, 2, 2, 3}).keeping(0.4);  // 3 of 5 asked for
  EXPECT_EQ(s.removed, 1);
  EXPECT_EQ(group_of({7, 7, 7, 7}).keeping(0.5).removed, 0);
}

TEST(Prune, MissingAtomsCountAmongThoseThatGo) {
  const prune_group group = group_of({5, 1, 4, 2, 3});
  EXPECT_EQ(group.keeping(0.6, 5).removed, 2);
  EXPECT_EQ(group.keeping(0.6, 6).removed, 1);    // floor(2.4) are to go, one is missing
  EXPECT_EQ(group.keeping(0.6, 7).removed, 0);    // floor(2.8), and two are missing
  EXPECT_EQ(group.keeping(0.6, 100).removed, 0);  // fewer are left than are to be kept
  EXPECT_EQ(group.keeping(0.6, 100).atoms, 5);
  EXPECT_EQ(group.keeping(0.0, 7).removed, 5);
  EXPECT_EQ(group.keeping(0.5, 2).removed, 1);  // more than the group ever had: half of what it had
  EXPECT_EQ(prune_group().keeping(0.5, 10).removed, 0);
}

TEST(Prune, AskingAgainRemovesNothing) {
  for (double keep : {0.9, 0.75, 0.5, 0.1}) {
    prune_group first, second;
    const auto score = [](int i) { return static_cast<float>(i % 17); };  // with ties
    for (int i = 0; i < 100; ++i) first.add(score(i), 1);
    first.add(std::nullopt, 1);
    const prune_summary once = first.keeping(keep, 101);
    for (int i = 0; i < 100; ++i) {
      if (!(score(i) < once.threshold.value_or(-1.0f))) second.add(score(i), 1);
    }
    second.add(std::nullopt, 1);
    EXPECT_EQ(second.keeping(keep, 101).removed, 0) << keep;
    EXPECT_GT(once.removed, 0) << keep;
  }
}

TEST(Prune, KeepingAllRemovesNothingAndHasNoCut) {
  const prune_summary s = group_of({1, 2, 3}).keeping(1.0);
  EXPECT_EQ(s.removed, 0);
  EXPECT_FALSE(s.threshold.has_value());
  EXPECT_FALSE(prune_group().keeping(0.5).threshold.has_value());
}

TEST(Prune, KeepingNoneRemovesAllButTheUnknown) {
  prune_group group = group_of({1, 2, std::numeric_limits<float>::infinity()});
  group.add(std::numeric_limits<float>::quiet_NaN(), 10);
  group.add(std::nullopt, 10);
  const prune_summary s = group.keeping(0.0);
  EXPECT_EQ(s.atoms, 5);
  EXPECT_EQ(s.removed, 3);
  ASSERT_TRUE(s.threshold.has_value());
  EXPECT_TRUE(std::isnan(*s.threshold));
}

TEST(Prune, AtomsWithoutImportanceAreCountedAndStay) {
  prune_group group = group_of({1, 2});
  group.add(std::nullopt, 7);
  EXPECT_EQ(group.keeping(0.5).removed, 1);
  EXPECT_EQ(group.keeping(0.5).bytes, 27);
  EXPECT_EQ(group.below(100).removed, 2);
}

TEST(Prune, ThresholdIsExclusive) {
  EXPECT_EQ(group_of({-1, 0, 1}).below(0).removed, 1);
  EXPECT_EQ(group_of({-1, 0, 1}).below(-std::numeric_limits<float>::infinity()).removed, 0);
}

}  // namespace
}  // namespace hartonomous
