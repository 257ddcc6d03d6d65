// When progress is due, what is left, and how it is said.
#include "hartonomous/progress.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace hartonomous {
namespace {

TEST(Progress, IsDueEveryTenSeconds) {
  double now = 1000.0;
  progress_timer timer([&] { return now; });
  EXPECT_FALSE(timer.due());
  now += 9.9;
  EXPECT_FALSE(timer.due()) << "short work says nothing";
  now += 0.2;
  EXPECT_TRUE(timer.due());
  EXPECT_FALSE(timer.due()) << "once";
  now += 25.0;
  EXPECT_TRUE(timer.due());
  EXPECT_FALSE(timer.due()) << "what was missed is not made up for";
  now += 9.0;
  EXPECT_FALSE(timer.due()) << "ten seconds after the last time";
  now += 1.5;
  EXPECT_TRUE(timer.due());
}

TEST(Progress, OfTheBlocksOfANetwork) {
  EXPECT_EQ(block_progress_text("calibrated", 0.18379, 1, 32, 100.0),
            "calibrated 18.3 %, block 2 of 32, 1 min 40 s left");
  EXPECT_EQ(block_progress_text("calibrated", 0.6, 33, 32, std::nullopt), "calibrated 60.0 %, gradients of block 32");
  EXPECT_EQ(block_progress_text("calibrated", 0.99, 64, 32, std::nullopt), "calibrated 99.0 %, gradients of block 1");
  EXPECT_EQ(block_progress_text("quantized in sequence", 0.99999, 32, 32, std::nullopt),
            "quantized in sequence 99.9 %, output matrix");
}

TEST(Progress, ByTheClockOfTheMachine) {
  progress_timer timer;
  EXPECT_FALSE(timer.due());
  EXPECT_NEAR(*timer.left(0.5), 0.0, 5.0);
}

TEST(Progress, LeftIsWhatTheRestTakes) {
  double now = 5.0;
  progress_timer timer([&] { return now; });
  now = 25.0;
  EXPECT_DOUBLE_EQ(*timer.left(0.25), 60.0);
  EXPECT_DOUBLE_EQ(*timer.left(1.0), 0.0);
  EXPECT_DOUBLE_EQ(*timer.left(1.1), 0.0);
  EXPECT_FALSE(timer.left(0.0));
  EXPECT_FALSE(timer.left(std::nan("")));
}

TEST(Progress, Durations) {
  EXPECT_EQ(duration_text(0.0), "0 s");
  EXPECT_EQ(duration_text(-3.0), "0 s");
  EXPECT_EQ(duration_text(8.4), "8 s");
  EXPECT_EQ(duration_text(59.6), "1 min");
  EXPECT_EQ(duration_text(100.0), "1 min 40 s");
  EXPECT_EQ(duration_text(3599.0), "59 min 59 s");
  EXPECT_EQ(duration_text(7200.0 + 300.0 + 59.0), "2 h 5 min");
  EXPECT_EQ(duration_text(3 * 86400.0 + 4 * 3600.0), "3 d 4 h");
  EXPECT_EQ(duration_text(INFINITY), duration_text(1e15));
  EXPECT_EQ(duration_text(std::nan("")), "0 s");
}

}  // namespace
}  // namespace hartonomous
