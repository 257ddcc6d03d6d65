// The Hilbert curve: it visits every cell once, each next to the one before, and its inverse is one.
#include "hartonomous/hilbert.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

int distance(hilbert_cell a, hilbert_cell b) {
  const auto apart = [](std::uint32_t p, std::uint32_t q) {
    return std::abs(static_cast<int>(p) - static_cast<int>(q));
  };
  return apart(a.x, b.x) + apart(a.y, b.y) + apart(a.z, b.z);
}

TEST(Hilbert, VisitsEveryCellOnceAndMovesByOneStep) {
  for (int bits = 1; bits <= 5; ++bits) {
    const std::uint64_t cells = std::uint64_t{1} << (3 * bits);
    std::vector<bool> seen(cells);
    hilbert_cell before = {};
    for (std::uint64_t index = 0; index < cells; ++index) {
      const hilbert_cell cell = hilbert_decode(index, bits);
      ASSERT_LT(cell.x | cell.y | cell.z, 1u << bits);
      const std::size_t at = (std::size_t{cell.x} << (2 * bits)) | (std::size_t{cell.y} << bits) | cell.z;
      ASSERT_FALSE(seen[at]);
      seen[at] = true;
      ASSERT_EQ(hilbert_encode(cell, bits), index);
      if (index != 0) {
        ASSERT_EQ(distance(before, cell), 1) << bits << ' ' << index;
      }
      before = cell;
    }
  }
}

// Skilling's published example: the point (5, 10, 20) at five bits an axis has index 7865.
TEST(Hilbert, AgreesWithSkillingsExample) { EXPECT_EQ(hilbert_encode({5, 10, 20}, 5), 7865u); }

TEST(Hilbert, FullOrderIsInvertibleAndMovesByOneStep) {
  std::mt19937_64 generator(1);
  constexpr std::uint64_t last = (std::uint64_t{1} << 63) - 1;
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t index = generator() % last;
    const hilbert_cell cell = hilbert_decode(index);
    ASSERT_EQ(hilbert_encode(cell), index);
    ASSERT_EQ(distance(cell, hilbert_decode(index + 1)), 1);
  }
  EXPECT_EQ(distance(hilbert_decode(0), {0, 0, 0}), 0);
}

TEST(Hilbert, CellsDivideTheRangesEvenly) {
  constexpr std::uint32_t last = (1u << hilbert_bits) - 1;
  const hilbert_cell lowest = hilbert_cell_of({0, 0, -10});
  const hilbert_cell highest = hilbert_cell_of({100, 100, 10});
  const hilbert_cell middle = hilbert_cell_of({50, 50, 0});
  EXPECT_EQ(distance(lowest, {0, 0, 0}), 0);
  EXPECT_EQ(distance(highest, {last, last, last}), 0);
  EXPECT_EQ(distance(middle, {1u << 20, 1u << 20, 1u << 20}), 0);
  EXPECT_EQ(hilbert_index(0, 0, -10), 0);
  EXPECT_EQ(hilbert_index(-0.0f, 0, -10), 0);
  EXPECT_GE(hilbert_index(100, 100, 10), 0);
  // One cell is 100 / 2^21 wide.
  EXPECT_EQ(hilbert_cell_of({100.0f / 2097152.0f, 0, 0}).x, 1u);
  EXPECT_EQ(hilbert_cell_of({std::nextafter(100.0f / 2097152.0f, 0.0f), 0, 0}).x, 0u);
}

TEST(Hilbert, OutsideTheSpaceIsRefused) {
  constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
  const float outside[][3] = {{-0.1f, 0, 0}, {0, 100.1f, 0}, {0, 0, 11}, {nan_value, 0, 0}, {0, 0, nan_value}};
  for (const auto& p : outside) {
    try {
      hilbert_index(p[0], p[1], p[2]);
      ADD_FAILURE() << p[0] << ' ' << p[1] << ' ' << p[2];
    } catch (const error& e) {
      EXPECT_STREQ(e.state(), "22003");
    }
  }
}

}  // namespace
}  // namespace hartonomous
