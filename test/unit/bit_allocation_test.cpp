// The knapsack against a search of all combinations.
#include "hartonomous/bit_allocation.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

constexpr std::uint64_t plenty = std::uint64_t{64} << 20;
using option_lists = std::vector<std::vector<allocation_option>>;

bit_allocation allocate(const option_lists& options, std::uint64_t budget, std::uint64_t memory = plenty) {
  no_interrupts none;
  return allocate_bits(options, budget, memory, none);
}

// The least cost within the budget, if any combination fits it.
std::optional<double> least_cost(const option_lists& options, std::uint64_t budget, std::size_t tensor = 0) {
  if (tensor == options.size()) return 0.0;
  std::optional<double> best;
  for (const allocation_option& o : options[tensor]) {
    if (o.bytes > budget) continue;
    const std::optional<double> rest = least_cost(options, budget - o.bytes, tensor + 1);
    if (rest && (!best || o.cost + *rest < *best)) best = o.cost + *rest;
  }
  return best;
}

option_lists random_options(std::mt19937& random, std::size_t tensors, std::size_t most, std::uint64_t unit) {
  option_lists options(tensors);
  for (auto& of_tensor : options) {
    const std::size_t count = 1 + random() % most;
    for (std::size_t i = 0; i < count; ++i) of_tensor.push_back({unit * (random() % 40), 0.25 * (random() % 100)});
  }
  return options;
}

void expect_consistent(const option_lists& options, std::uint64_t budget, const bit_allocation& found) {
  ASSERT_EQ(found.chosen.size(), options.size());
  std::uint64_t bytes = 0;
  double cost = 0.0;
  for (std::size_t t = 0; t < options.size(); ++t) {
    bytes += options[t].at(found.chosen[t]).bytes;
    cost += options[t].at(found.chosen[t]).cost;
  }
  EXPECT_EQ(found.bytes, bytes);
  EXPECT_EQ(found.cost, cost);
  EXPECT_LE(bytes, budget);
}

template <class F>
std::string state_of(F&& f) {
  try {
    f();
  } catch (const error& e) {
    return e.state();
  }
  return "00000";
}

TEST(BitAllocation, FindsTheOptimumOfTheClassicTrap) {
  // The first step saves more per byte, but only the second one together with nothing else fills the budget.
  const option_lists options = {{{0, 10.0}, {6, 3.0}}, {{0, 10.0}, {10, 0.0}}};
  const bit_allocation found = allocate(options, 10);
  EXPECT_EQ(found.chosen, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(found.cost, 10.0);
  EXPECT_TRUE(found.exact);
  EXPECT_EQ(found.lower_bound, 10.0);
}

TEST(BitAllocation, AgreesWithAllCombinations) {
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    const option_lists options = random_options(random, 1 + random() % 5, 5, round % 2 == 0 ? 1 : 16);
    const std::uint64_t budget = random() % (round % 2 == 0 ? 200 : 3200);
    const std::optional<double> expected = least_cost(options, budget);
    if (!expected) {
      EXPECT_EQ(state_of([&] { allocate(options, budget); }), "22023");
      continue;
    }
    const bit_allocation found = allocate(options, budget);
    expect_consistent(options, budget, found);
    EXPECT_TRUE(found.exact);
    EXPECT_EQ(found.cost, *expected);
    EXPECT_EQ(found.lower_bound, found.cost);
  }
}

TEST(BitAllocation, WithoutMemoryIsFeasibleAndBounded) {
  std::mt19937 random(2);
  double gap = 0.0;
  int coarse = 0;
  for (int round = 0; round < 500; ++round) {
    const option_lists options = random_options(random, 5, 5, 1);
    const std::uint64_t budget = 20 + random() % 150;
    const std::optional<double> expected = least_cost(options, budget);
    if (!expected) continue;
    const bit_allocation found = allocate(options, budget, 200);
    expect_consistent(options, budget, found);
    EXPECT_GE(found.cost, *expected);
    EXPECT_LE(found.lower_bound, *expected + 1e-9);
    EXPECT_TRUE(!found.exact || found.cost == *expected);
    coarse += found.exact ? 0 : 1;
    gap += found.cost - *expected;
  }
  EXPECT_GT(coarse, 200);
  EXPECT_LT(gap / coarse, 3.0) << "costs are up to 25 for each of 5 tensors";
}

TEST(BitAllocation, OfAModelOfManyTensorsIsNearTheBound) {
  std::mt19937 random(3);
  option_lists options(100);
  for (auto& of_tensor : options) {
    const std::uint64_t weights = 65536 * (1 + random() % 200);
    const double sensitivity = 1e-3 * (1 + random() % 1000);
    for (const std::uint64_t bits : {84, 110, 144, 176, 210, 272, 512}) {
      of_tensor.push_back({weights / 256 * bits, sensitivity * std::exp2(-static_cast<double>(bits) / 16.0)});
    }
  }
  std::uint64_t smallest = 0;
  for (const auto& of_tensor : options) smallest += of_tensor[0].bytes;
  const std::uint64_t budget = smallest + smallest / 2;
  const bit_allocation found = allocate(options, budget, std::uint64_t{8} << 20);
  expect_consistent(options, budget, found);
  EXPECT_FALSE(found.exact);
  EXPECT_LE(found.lower_bound, found.cost);
  EXPECT_LT(found.cost, 1.001 * found.lower_bound);
  EXPECT_GT(found.bytes, budget - budget / 1000);
  EXPECT_EQ(allocate(options, budget, std::uint64_t{8} << 20).chosen, found.chosen);
}

TEST(BitAllocation, AtTheLeastBudgetTakesTheSmallest) {
  const option_lists options = {{{5, 1.0}, {3, 2.0}}, {{4, 1.0}, {9, 0.0}}};
  EXPECT_EQ(allocate(options, 7).chosen, (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(state_of([&] { allocate(options, 6); }), "22023");
}

TEST(BitAllocation, WithABudgetForAllTakesTheBest) {
  const option_lists options = {{{5, 1.0}, {3, 2.0}}, {{4, 1.0}, {9, 0.0}}};
  const bit_allocation found = allocate(options, UINT64_MAX);
  EXPECT_EQ(found.chosen, (std::vector<std::size_t>{0, 1}));
  EXPECT_EQ(found.bytes, 14u);
  EXPECT_TRUE(found.exact);
}

TEST(BitAllocation, OfEqualCostsTakesTheSmallest) {
  EXPECT_EQ(allocate({{{5, 1.0}, {3, 1.0}, {3, 1.0}, {4, 1.0}}}, 100).chosen, (std::vector<std::size_t>{1}));
}

TEST(BitAllocation, OfNoTensorsIsEmpty) {
  const bit_allocation found = allocate({}, 0);
  EXPECT_TRUE(found.chosen.empty());
  EXPECT_EQ(found.bytes, 0u);
  EXPECT_TRUE(found.exact);
}

TEST(BitAllocation, RefusesBadInput) {
  EXPECT_EQ(state_of([] { allocate({{}}, 10); }), "22023");
  EXPECT_EQ(state_of([] { allocate({std::vector<allocation_option>(257)}, 10); }), "22023");
  EXPECT_EQ(state_of([] { allocate({{{1, std::nan("")}}}, 10); }), "22023");
  EXPECT_EQ(state_of([] { allocate({{{1, std::numeric_limits<double>::infinity()}}}, 10); }), "22023");
  EXPECT_EQ(state_of([] { allocate({{{std::uint64_t{1} << 62, 1.0}}}, UINT64_MAX); }), "54000");
}

TEST(BitAllocation, CanBeInterrupted) {
  struct : interrupt_checker {
    void check() override { throw std::domain_error("cancelled"); }
  } interrupts;
  const option_lists options = {{{0, 1.0}, {5, 0.0}}};
  EXPECT_THROW(allocate_bits(options, 5, plenty, interrupts), std::domain_error);
}

}  // namespace
}  // namespace hartonomous
