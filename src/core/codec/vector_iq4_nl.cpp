// IQ4_NL with vector instructions: the same bytes and floats as iq4_nl.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_iq4_nl.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "codec/batches.hpp"
#include "codec/iq4_nl.hpp"
#include "codec/short-inl.hpp"
#include "codec/symmetric-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& iq4_nl() { return scalar_iq4_nl; }

#else

namespace {

// The value of the level of each number; the highest one for NaN, as in the scalar code.
template <class V>
HWY_INLINE V uneven_value(V scaled) {
  V value = width<V>::set(static_cast<float>(uneven_values[0]));
  for (int k = 0; k < 15; ++k) {
    const V next = width<V>::set(static_cast<float>(uneven_values[k + 1]));
    value = if_then_else(lt(scaled, width<V>::set(uneven_middles[k])), value, next);
  }
  return value;
}

template <class V>
HWY_INLINE void uneven_sums_at(V inverse, const float* x, const float* w, V& vx, V& v2) {
  vx = v2 = width<V>::set(0.0f);
  for (std::size_t i = 0; i < short_block; ++i) {
    const std::size_t at = i * width<V>::lanes();
    const V xi = width<V>::load(x + at);
    const V value = uneven_value(mul(inverse, xi));
    const V weighted = mul(width<V>::load(w + at), value);
    vx = add(vx, mul(weighted, xi));
    v2 = add(v2, mul(weighted, value));
  }
}

// search_uneven() for one block per lane; the scale is 0 if all numbers are negligible.
struct uneven_search {
  float* scale;  // of the blocks of the batch, aligned

  template <class V>
  HWY_INLINE void operator()(const float* x, const float* w, std::size_t at) const {
    const V zero = width<V>::set(0.0f);
    const V extreme = extreme_of<short_block, V>(x);
    const V lowest = width<V>::set(static_cast<float>(uneven_values[0]));
    V vx = zero, v2 = zero;
    uneven_sums_at(div(width<V>::set(1.0f), div(neg(extreme), lowest)), x, w, vx, v2);
    V best = zero_unless(lt(zero, v2), div(vx, v2));
    V gain = mul(best, vx);
    for (int t = -uneven_trials; t <= uneven_trials; ++t) {
      const V inverse = div(width<V>::set(static_cast<float>(t + uneven_values[0])), extreme);
      uneven_sums_at(inverse, x, w, vx, v2);
      const auto better = both(lt(zero, v2), lt(mul(gain, v2), mul(vx, vx)));
      const V trial = div(vx, v2);
      best = if_then_else(better, trial, best);
      gain = if_then_else(better, mul(trial, vx), gain);
    }
    store(zero_where(equal(extreme, zero), best), scale + at);
  }
};

HWY_INLINE void store_uneven_levels(const float* x, floats inverse, std::uint8_t* q) {
  for (std::size_t i = 0; i < short_block; i += lane_count()) {
    const floats scaled = hn::Mul(inverse, hn::LoadU(float_tag(), x + i));
    floats level = all(0.0f);
    for (int k = 0; k < 15; ++k) {
      level = hn::IfThenElse(hn::Lt(scaled, all(uneven_middles[k])), level, all(static_cast<float>(k + 1)));
    }
    store_integers(level, q + i);
  }
}

void encode_iq4_nl(const batch& in, block_iq4_nl* out) {
  const float_tag d;
  HWY_ALIGN float scale[batch_sub_blocks];
  HWY_ALIGN float mean_square[batch_sub_blocks] = {};
  HWY_ALIGN std::uint16_t half[batch_sub_blocks];
  if (in.importance != nullptr) {
    sums_of_squares<short_block>(in.x, in.blocks, mean_square);
    for (float& sum : mean_square) sum *= uneven_square_share;
    const weigh_by_importance<short_block> weigh = {in.importance, mean_square};
    search_groups<short_block>(in.x, in.blocks, weigh, uneven_search{scale});
  } else {
    search_groups<short_block>(in.x, in.blocks, weigh_by_square<short_block>(), uneven_search{scale});
  }
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    hn::Store(to_halves(hn::Load(d, scale + b)), half_tag(), half + b);
  }
  for (std::size_t b = 0; b < in.blocks; ++b) {
    HWY_ALIGN std::uint8_t q[short_block];
    store_uneven_levels(in.x + b * short_block, all(scale[b] != 0.0f ? 1.0f / scale[b] : 0.0f), q);
    store_scale(half[b], out[b].d);
    pack_nibbles(q, out[b].qs);
  }
}

HWY_INLINE void decode_iq4_nl(const block_iq4_nl& in, float* x) {
  const hn::RebindToSigned<sixteen_tag> s;
  const auto table = hn::LoadU(s, uneven_values);
  HWY_ALIGN std::int8_t q[short_block];
  hn::Store(hn::TableLookupBytes(table, hn::BitCast(s, unpack_low(in.qs))), s, q);
  hn::Store(hn::TableLookupBytes(table, hn::BitCast(s, unpack_high(in.qs))), s, q + 16);
  scale_levels(q, load_scale(in.d), x);
}

}  // namespace

const codec& iq4_nl() {
  static constexpr codec vector = {format::IQ4_NL,
                                   dequantize_blocks<block_iq4_nl, decode_iq4_nl>,
                                   quantize_batches<block_iq4_nl, short_block, batch_sub_blocks, encode_iq4_nl>,
                                   1,
                                   {0, 2}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(iq4_nl);

const codec& vector_iq4_nl() { return HWY_DYNAMIC_DISPATCH(iq4_nl)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
