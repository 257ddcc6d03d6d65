// Sums of terms in double over 32 partial sums, by vector instructions.
//
// Four vectors of partial sums advance side by side, so that no addition waits for the one before it. Where four
// vectors hold fewer than 32 sums, a chunk of the terms, which stays in the first cache, is passed over again for the
// others.
#include "statistics/sums.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "statistics/sums.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>

HWY_BEFORE_NAMESPACE();
namespace hartonomous {
namespace statistics_detail {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using double_tag = hn::CappedTag<double, 8>;
using float_tag = hn::Rebind<float, double_tag>;
using doubles = hn::Vec<double_tag>;

HWY_INLINE doubles load(const float* from) { return hn::PromoteTo(double_tag(), hn::LoadU(float_tag(), from)); }

struct product {
  HWY_INLINE doubles operator()(const float* a, const float* b) const { return hn::Mul(load(a), load(b)); }
};

struct squared_difference {
  HWY_INLINE doubles operator()(const float* a, const float* b) const {
    const doubles difference = hn::Sub(load(a), load(b));
    return hn::Mul(difference, difference);
  }
};

template <class Term>
HWY_INLINE void add_chunk(const float* a, const float* b, std::size_t count, double* HWY_RESTRICT partial) {
  const double_tag d;
  const Term term;
  const std::size_t lanes = hn::Lanes(d);
  for (std::size_t first = 0; first < partial_sums; first += 4 * lanes) {
    doubles s0 = hn::LoadU(d, partial + first), s1 = hn::LoadU(d, partial + first + lanes);
    doubles s2 = hn::LoadU(d, partial + first + 2 * lanes), s3 = hn::LoadU(d, partial + first + 3 * lanes);
    for (std::size_t i = first; i < count; i += partial_sums) {
      s0 = hn::Add(s0, term(a + i, b + i));
      s1 = hn::Add(s1, term(a + i + lanes, b + i + lanes));
      s2 = hn::Add(s2, term(a + i + 2 * lanes, b + i + 2 * lanes));
      s3 = hn::Add(s3, term(a + i + 3 * lanes, b + i + 3 * lanes));
    }
    hn::StoreU(s0, d, partial + first);
    hn::StoreU(s1, d, partial + first + lanes);
    hn::StoreU(s2, d, partial + first + 2 * lanes);
    hn::StoreU(s3, d, partial + first + 3 * lanes);
  }
}

template <class Term>
HWY_INLINE void add_terms(const float* a, const float* b, std::size_t count, double* partial) {
  constexpr std::size_t chunk = 2048;
  for (std::size_t at = 0; at < count; at += chunk) {
    add_chunk<Term>(a + at, b + at, std::min(chunk, count - at), partial);
  }
}

void products(const float* a, const float* b, std::size_t count, double* partial) {
  add_terms<product>(a, b, count, partial);
}

void squared_differences(const float* a, const float* b, std::size_t count, double* partial) {
  add_terms<squared_difference>(a, b, count, partial);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace statistics_detail
}  // namespace hartonomous
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous {
namespace statistics_detail {

HWY_EXPORT(products);
HWY_EXPORT(squared_differences);

void add_products(const float* a, const float* b, std::size_t count, double* partial) noexcept {
  HWY_DYNAMIC_DISPATCH(products)(a, b, count, partial);
}

void add_squared_differences(const float* a, const float* b, std::size_t count, double* partial) noexcept {
  HWY_DYNAMIC_DISPATCH(squared_differences)(a, b, count, partial);
}

}  // namespace statistics_detail
}  // namespace hartonomous
#endif  // HWY_ONCE
