// Root mean square, relative error, dot product.
#include "hartonomous/statistics.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

using floats = std::vector<float>;

TEST(Statistics, Rms) {
  EXPECT_EQ(rms(floats{}), 0.0);
  EXPECT_EQ(rms(floats{-3.0f}), 3.0);
  EXPECT_DOUBLE_EQ(rms(floats{3.0f, 4.0f}), std::sqrt(12.5));
  EXPECT_EQ(rms(floats(200003, 0.5f)), 0.5);
  // Squares of these overflow float.
  EXPECT_DOUBLE_EQ(rms(floats{1e30f, 1e30f}), double{1e30f});
  EXPECT_TRUE(std::isnan(rms(floats{1.0f, std::numeric_limits<float>::quiet_NaN()})));
}

TEST(Statistics, RelativeError) {
  EXPECT_EQ(relative_error(floats{}, floats{}), 0.0);
  EXPECT_EQ(relative_error(floats{0, 0}, floats{0, 0}), 0.0);
  EXPECT_EQ(relative_error(floats{0, 0}, floats{0, 1}), std::numeric_limits<double>::infinity());
  EXPECT_EQ(relative_error(floats{3, 4}, floats{3, 4}), 0.0);
  EXPECT_DOUBLE_EQ(relative_error(floats{3, 4}, floats{0, 0}), 1.0);
  EXPECT_DOUBLE_EQ(relative_error(floats{3, 4}, floats{3, 5}), 0.2);
}

TEST(Statistics, Dot) {
  EXPECT_EQ(dot(floats{}, floats{}), 0.0);
  EXPECT_EQ(dot(floats{1, 2, 3}, floats{4, -5, 6}), 12.0);
  floats count(100001), ones(100001, 1.0f);
  for (std::size_t i = 0; i < count.size(); ++i) count[i] = static_cast<float>(i);
  EXPECT_EQ(dot(count, ones), 100000.0 * 100001.0 / 2);
}

TEST(Statistics, LengthsMustAgree) {
  using function = double (*)(span<const float>, span<const float>, interrupt&);
  no_interrupt none;
  for (const function f : {function{dot}, function{relative_error}}) {
    try {
      f(floats{1, 2}, floats{1}, none);
      FAIL();
    } catch (const error& e) {
      EXPECT_STREQ(e.state(), "2202E");
    }
  }
}

struct stopped {};

class refusing_interrupt final : public interrupt {
 public:
  void poll() override { throw stopped(); }
};

TEST(Statistics, CanBeInterrupted) {
  refusing_interrupt at_once;
  EXPECT_THROW(rms(floats{1}, at_once), stopped);
}

}  // namespace
}  // namespace hartonomous
