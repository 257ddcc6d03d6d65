// IQ4_NL and IQ4_XS with vector instructions: the same bytes and floats as iq4_nl_iq4_xs.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_iq4_nl_iq4_xs.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "codec/batches.hpp"
#include "codec/iq4_nl_iq4_xs.hpp"
#include "codec/short-inl.hpp"
#include "codec/symmetric-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& iq4_nl() { return scalar_iq4_nl; }
const codec& iq4_xs_codec() { return scalar_iq4_xs; }

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

// best_scale() of the scalar code for 32 weights per lane.
struct uneven_search {
  float* scale;  // aligned

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

// The scale of every 32 weights of a batch of blocks of that many.
template <int Weights>
void search_scales(const batch& in, float* scale) {
  constexpr std::size_t sub_blocks = Weights / short_block;
  const std::size_t count = in.blocks * sub_blocks;
  if (in.importance == nullptr) {
    search_groups<short_block>(in.x, count, weigh_by_square<short_block>(), uneven_search{scale});
    return;
  }
  float squares[batch_sub_blocks];
  HWY_ALIGN float mean_square[batch_sub_blocks] = {};
  sums_of_squares<Weights>(in.x, in.blocks, squares);
  for (std::size_t j = 0; j < count; ++j) mean_square[j] = squares[j / sub_blocks] * uneven_square_share<Weights>;
  const weigh_by_importance<short_block> weigh = {in.importance, mean_square};
  search_groups<short_block>(in.x, count, weigh, uneven_search{scale});
}

HWY_INLINE void store_uneven_levels(const float* x, float inverse, std::uint8_t* qs) {
  HWY_ALIGN std::uint8_t q[short_block];
  for (std::size_t i = 0; i < short_block; i += lane_count()) {
    const floats scaled = hn::Mul(all(inverse), hn::LoadU(float_tag(), x + i));
    floats level = all(0.0f);
    for (int k = 0; k < 15; ++k) {
      level = hn::IfThenElse(hn::Lt(scaled, all(uneven_middles[k])), level, all(static_cast<float>(k + 1)));
    }
    store_integers(level, q + i);
  }
  pack_nibbles(q, qs);
}

HWY_INLINE void load_uneven_weights(const std::uint8_t* qs, floats scale, float* x) {
  const hn::RebindToSigned<sixteen_tag> s;
  const auto table = hn::LoadU(s, uneven_values);
  HWY_ALIGN std::int8_t q[short_block];
  hn::Store(hn::TableLookupBytes(table, hn::BitCast(s, unpack_low(qs))), s, q);
  hn::Store(hn::TableLookupBytes(table, hn::BitCast(s, unpack_high(qs))), s, q + 16);
  scale_levels(q, scale, x);
}

// ---- IQ4_NL ----------------------------------------------------------------------------------------------------

void encode_iq4_nl(const batch& in, block_iq4_nl* out) {
  HWY_ALIGN float scale[batch_sub_blocks] = {};
  HWY_ALIGN std::uint16_t half[batch_sub_blocks];
  search_scales<short_block>(in, scale);
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    hn::Store(to_halves(hn::Load(float_tag(), scale + b)), half_tag(), half + b);
  }
  for (std::size_t b = 0; b < in.blocks; ++b) {
    store_scale(half[b], out[b].d);
    store_uneven_levels(in.x + b * short_block, scale[b] != 0.0f ? 1.0f / scale[b] : 0.0f, out[b].qs);
  }
}

HWY_INLINE void decode_iq4_nl(const block_iq4_nl& in, float* x) { load_uneven_weights(in.qs, load_scale(in.d), x); }

// ---- IQ4_XS ----------------------------------------------------------------------------------------------------

constexpr std::size_t batch_super_blocks = batch_sub_blocks / iq4_xs::sub_blocks;

void encode_iq4_xs(const batch& in, block_iq4_xs* out) {
  using namespace iq4_xs;
  HWY_ALIGN float scale[batch_sub_blocks] = {};
  search_scales<super_block>(in, scale);
  for (std::size_t b = 0; b < in.blocks; ++b) {
    float inverse[sub_blocks];
    store_scales(scale + b * sub_blocks, out[b], inverse);
    for (std::size_t j = 0; j < sub_blocks; ++j) {
      store_uneven_levels(in.x + b * super_block + j * sub_block, inverse[j], out[b].qs + j * 16);
    }
  }
}

void decode_iq4_xs(const block_iq4_xs& in, float* x) {
  using namespace iq4_xs;
  const float d = in.d.get();
  for (int j = 0; j < sub_blocks; ++j) {
    load_uneven_weights(in.qs + j * 16, all(d * scale_of(in, j)), x + j * sub_block);
  }
}

}  // namespace

const codec& iq4_nl() {
  static constexpr codec vector = {format::IQ4_NL,
                                   dequantize_blocks<block_iq4_nl, decode_iq4_nl>,
                                   quantize_batches<block_iq4_nl, short_block, batch_sub_blocks, encode_iq4_nl>,
                                   1,
                                   {0}};
  return vector;
}

const codec& iq4_xs_codec() {
  static constexpr codec vector = {format::IQ4_XS,
                                   dequantize_run<block_iq4_xs, super_block, decode_iq4_xs>,
                                   quantize_batches<block_iq4_xs, super_block, batch_super_blocks, encode_iq4_xs>,
                                   1,
                                   {0}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(iq4_nl);
HWY_EXPORT(iq4_xs_codec);

const codec& vector_iq4_nl() { return HWY_DYNAMIC_DISPATCH(iq4_nl)(); }
const codec& vector_iq4_xs() { return HWY_DYNAMIC_DISPATCH(iq4_xs_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
