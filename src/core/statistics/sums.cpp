// Sums of terms in double over 16 partial sums, with vector instructions.
//
// Four vectors of four doubles hold the 16 sums and advance side by side, which hides most of the latency of an
// addition. Wider vectors do not convert floats faster (measured on Zen 4). Memory is read once and in order: several
// passes over a chunk, as 32 sums would need where vectors are short, cost half the bandwidth.
#include "statistics/sums.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "statistics/sums.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::statistics_detail::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using double_tag = hn::CappedTag<double, 4>;
using float_tag = hn::Rebind<float, double_tag>;
using doubles = hn::Vec<double_tag>;

HWY_INLINE std::size_t lane_count() { return hn::Lanes(double_tag()); }

HWY_INLINE doubles load(const float* from) { return hn::PromoteTo(double_tag(), hn::LoadU(float_tag(), from)); }

// ---- terms -----------------------------------------------------------------------------------------------------

// A product of two floats is exact in double, so MulAdd rounds once, at the addition, whether or not it is fused.
struct product {
  static HWY_INLINE doubles add(doubles sum, const float* a, const float* b) {
    return hn::MulAdd(load(a), load(b), sum);
  }
};

struct square {
  static HWY_INLINE doubles add(doubles sum, const float* a, const float*) {
    const doubles x = load(a);
    return hn::MulAdd(x, x, sum);
  }
};

// The difference has up to 53 bits and its square is not exact, so it must never be fused.
HWY_INLINE doubles add_squared_difference(doubles sum, doubles x, doubles y) {
  const doubles difference = hn::Sub(x, y);
  return hn::Add(sum, hn::Mul(difference, difference));
}

struct squared_difference {
  static HWY_INLINE doubles add(doubles sum, const float* a, const float* b) {
    return add_squared_difference(sum, load(a), load(b));
  }
};

// ---- four sums side by side ------------------------------------------------------------------------------------

HWY_INLINE void load_sums(const double* from, doubles& s0, doubles& s1, doubles& s2, doubles& s3) {
  const double_tag d;
  const std::size_t lanes = lane_count();
  s0 = hn::LoadU(d, from);
  s1 = hn::LoadU(d, from + lanes);
  s2 = hn::LoadU(d, from + 2 * lanes);
  s3 = hn::LoadU(d, from + 3 * lanes);
}

HWY_INLINE void store_sums(doubles s0, doubles s1, doubles s2, doubles s3, double* to) {
  const double_tag d;
  const std::size_t lanes = lane_count();
  hn::StoreU(s0, d, to);
  hn::StoreU(s1, d, to + lanes);
  hn::StoreU(s2, d, to + 2 * lanes);
  hn::StoreU(s3, d, to + 3 * lanes);
}

template <class Term>
HWY_INLINE void add_four(const float* a, const float* b, doubles& s0, doubles& s1, doubles& s2, doubles& s3) {
  const std::size_t lanes = lane_count();
  s0 = Term::add(s0, a, b);
  s1 = Term::add(s1, a + lanes, b + lanes);
  s2 = Term::add(s2, a + 2 * lanes, b + 2 * lanes);
  s3 = Term::add(s3, a + 3 * lanes, b + 3 * lanes);
}

// ---- loops -----------------------------------------------------------------------------------------------------

// Uses eight vectors where four do not hold the 16 sums.
template <class Term>
HWY_INLINE void add_terms(const float* a, const float* b, std::size_t count, double* HWY_RESTRICT partial) {
  const std::size_t four = 4 * lane_count();
  doubles s0, s1, s2, s3;
  if (four == partial_sum_count) {
    load_sums(partial, s0, s1, s2, s3);
    for (std::size_t i = 0; i < count; i += partial_sum_count) add_four<Term>(a + i, b + i, s0, s1, s2, s3);
    store_sums(s0, s1, s2, s3, partial);
    return;
  }
  for (std::size_t first = 0; first < partial_sum_count; first += 2 * four) {
    doubles s4, s5, s6, s7;
    load_sums(partial + first, s0, s1, s2, s3);
    load_sums(partial + first + four, s4, s5, s6, s7);
    for (std::size_t i = first; i < count; i += partial_sum_count) {
      add_four<Term>(a + i, b + i, s0, s1, s2, s3);
      add_four<Term>(a + i + four, b + i + four, s4, s5, s6, s7);
    }
    store_sums(s0, s1, s2, s3, partial + first);
    store_sums(s4, s5, s6, s7, partial + first + four);
  }
}

void products(const float* a, const float* b, std::size_t count, double* partial) {
  add_terms<product>(a, b, count, partial);
}

void squares(const float* a, std::size_t count, double* partial) { add_terms<square>(a, a, count, partial); }

HWY_INLINE void add_error(const float* a, const float* b, doubles& distance, doubles& size) {
  const doubles x = load(a);
  distance = add_squared_difference(distance, x, load(b));
  size = hn::MulAdd(x, x, size);
}

// Computes both sums in one loop if there are enough registers, otherwise one after the other, over chunks that stay in
// the L1 cache.
void errors(const float* a, const float* b, std::size_t count, double* HWY_RESTRICT distance,
            double* HWY_RESTRICT size) {
  const std::size_t lanes = lane_count();
  if (4 * lanes != partial_sum_count) {
    constexpr std::size_t part = 1024;
    for (std::size_t at = 0; at < count; at += part) {
      const std::size_t length = std::min(part, count - at);
      add_terms<squared_difference>(a + at, b + at, length, distance);
      add_terms<square>(a + at, a + at, length, size);
    }
    return;
  }
  doubles d0, d1, d2, d3, s0, s1, s2, s3;
  load_sums(distance, d0, d1, d2, d3);
  load_sums(size, s0, s1, s2, s3);
  for (std::size_t i = 0; i < count; i += partial_sum_count) {
    add_error(a + i, b + i, d0, s0);
    add_error(a + i + lanes, b + i + lanes, d1, s1);
    add_error(a + i + 2 * lanes, b + i + 2 * lanes, d2, s2);
    add_error(a + i + 3 * lanes, b + i + 3 * lanes, d3, s3);
  }
  store_sums(d0, d1, d2, d3, distance);
  store_sums(s0, s1, s2, s3, size);
}

}  // namespace
}  // namespace hartonomous::statistics_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::statistics_detail {

HWY_EXPORT(products);
HWY_EXPORT(squares);
HWY_EXPORT(errors);

void add_products(const float* a, const float* b, std::size_t count, double* partial) noexcept {
  HWY_DYNAMIC_DISPATCH(products)(a, b, count, partial);
}

void add_squares(const float* a, std::size_t count, double* partial) noexcept {
  HWY_DYNAMIC_DISPATCH(squares)(a, count, partial);
}

void add_errors(const float* a, const float* b, std::size_t count, double* distance, double* size) noexcept {
  HWY_DYNAMIC_DISPATCH(errors)(a, b, count, distance, size);
}

}  // namespace hartonomous::statistics_detail
#endif  // HWY_ONCE
