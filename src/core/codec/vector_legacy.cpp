// Q8_0, Q4_0, Q4_1, Q5_0 and Q5_1 with vector instructions: the same bytes and floats as legacy.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_legacy.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "codec/affine-inl.hpp"
#include "codec/batches.hpp"
#include "codec/short-inl.hpp"
#include "codec/symmetric-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& q8_0() { return scalar_q8_0; }
const codec& q4_0() { return scalar_q4_0; }
const codec& q4_1() { return scalar_q4_1; }
const codec& q5_0() { return scalar_q5_0; }
const codec& q5_1() { return scalar_q5_1; }

#else

namespace {

// Zeros the lanes without a block.
HWY_INLINE void fill_lanes(float* values, std::size_t blocks) {
  for (std::size_t b = blocks; b % max_lanes != 0; ++b) values[b] = 0.0f;
}

// ---- Q8_0 ------------------------------------------------------------------------------------------------------

void encode_q8_0(const float* x, std::size_t blocks, block_q8_0* out) {
  const float_tag d;
  HWY_ALIGN float magnitude[batch_sub_blocks];
  HWY_ALIGN float inverse[batch_sub_blocks];
  HWY_ALIGN std::uint16_t scale[batch_sub_blocks];
  for (std::size_t b = 0; b < blocks; ++b) magnitude[b] = largest_magnitude<short_block>(x + b * short_block);
  fill_lanes(magnitude, blocks);
  for (std::size_t b = 0; b < blocks; b += lane_count()) {
    const floats exact = hn::Div(hn::Load(d, magnitude + b), all(127.0f));
    const floats reciprocal = hn::Div(all(1.0f), exact);
    // The reciprocal of a subnormal scale may overflow. All products are then infinite or NaN, for which
    // round_away_int8() gives 0.
    hn::Store(hn::IfThenElseZero(hn::Le(reciprocal, all(FLT_MAX)), reciprocal), d, inverse + b);
    hn::Store(to_halves(exact), half_tag(), scale + b);
  }
  for (std::size_t b = 0; b < blocks; ++b, x += short_block) {
    store_scale(scale[b], out[b].d);
    auto* q = reinterpret_cast<std::uint8_t*>(out[b].qs);
    for (std::size_t i = 0; i < short_block; i += lane_count()) {
      store_integers(round_away(hn::Mul(hn::LoadU(d, x + i), all(inverse[b]))), q + i);
    }
  }
}

void quantize_q8_0(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<block_q8_0*>(out);
  for (std::size_t first = 0; first < count; first += batch_sub_blocks) {
    encode_q8_0(in + first * short_block, std::min(batch_sub_blocks, count - first), block + first);
  }
}

HWY_INLINE void decode_q8_0(const block_q8_0& in, float* x) { scale_levels(in.qs, load_scale(in.d), x); }

// ---- batches ---------------------------------------------------------------------------------------------------

template <class Block>
constexpr bool has_minimum = sizeof(Block) == sizeof(block_q4_1) || sizeof(Block) == sizeof(block_q5_1);
template <class Block>
constexpr bool has_fifth_bits = sizeof(Block) == sizeof(block_q5_0) || sizeof(Block) == sizeof(block_q5_1);

// The encoder's choices for a batch before packing. All levels are computed first, because bytes that were just stored
// in small parts are slow to load in larger ones.
struct chosen {
  HWY_ALIGN std::uint8_t q[batch_sub_blocks * short_block];
  HWY_ALIGN std::uint16_t d[batch_sub_blocks];
  HWY_ALIGN std::uint16_t m[batch_sub_blocks];
};

template <class Block>
HWY_INLINE void pack(const chosen& from, std::size_t blocks, Block* out) {
  for (std::size_t b = 0; b < blocks; ++b) {
    const std::uint8_t* q = from.q + b * short_block;
    store_scale(from.d[b], out[b].d);
    if constexpr (has_minimum<Block>) store_scale(from.m[b], out[b].m);
    if constexpr (has_fifth_bits<Block>) pack_fifth_bits(q, out[b].qh);  // first: it may overwrite the nibbles
    pack_nibbles(q, out[b].qs);
  }
}

// ---- without importance ----------------------------------------------------------------------------------------

struct range {
  float low, high;  // a zero may have either sign
};

HWY_INLINE range range_of(const float* x) {
  const float_tag d;
  floats low = hn::LoadU(d, x), high = low;
  for (std::size_t i = lane_count(); i < short_block; i += lane_count()) {
    const floats xi = hn::LoadU(d, x + i);
    low = hn::Min(low, xi);
    high = hn::Max(high, xi);
  }
  return {hn::GetLane(hn::MinOfLanes(d, low)), hn::GetLane(hn::MaxOfLanes(d, high))};
}

// The number of largest magnitude, the first of equals; +0 if all are zero.
HWY_INLINE float extreme_of_block(const float* x) {
  const range r = range_of(x);
  if (r.high != -r.low) return r.high > -r.low ? r.high : r.low;
  if (r.high == 0.0f) return 0.0f;
  while (std::fabs(*x) != r.high) ++x;
  return *x;
}

// The scalar code takes the first of equals, and the sign of a zero is stored.
HWY_INLINE float first_zero(const float* x) {
  while (*x != 0.0f) ++x;
  return *x;
}

// The conversion of each block's numbers to levels: (x - offset) * inverse + shift, truncated. The reciprocal of a
// subnormal scale may overflow: the scalar code then gets infinite or NaN products and makes all levels 0
// (truncate_level() of rounding.hpp), which the zeros here do as well. Otherwise no result is negative or large.
struct rules {
  HWY_ALIGN float offset[batch_sub_blocks];
  HWY_ALIGN float inverse[batch_sub_blocks];
  HWY_ALIGN float shift[batch_sub_blocks];
};

template <int Half>
HWY_INLINE void choose_symmetric_scales(const batch& in, rules& by, chosen& to) {
  const float_tag d;
  HWY_ALIGN float extreme[batch_sub_blocks];
  for (std::size_t b = 0; b < in.blocks; ++b) extreme[b] = extreme_of_block(in.x + b * short_block);
  fill_lanes(extreme, in.blocks);
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    const floats scale = hn::Div(hn::Load(d, extreme + b), all(static_cast<float>(-Half)));
    const floats reciprocal = hn::Div(all(1.0f), scale);
    const mask valid = hn::Le(hn::Abs(reciprocal), all(FLT_MAX));
    const mask zero = hn::Eq(scale, hn::Zero(d));
    hn::Store(hn::Zero(d), d, by.offset + b);
    hn::Store(hn::IfThenElseZero(valid, reciprocal), d, by.inverse + b);
    hn::Store(hn::IfThenElseZero(hn::Or(valid, zero), all(static_cast<float>(Half) + 0.5f)), d, by.shift + b);
    hn::Store(to_halves(scale), half_tag(), to.d + b);
  }
}

template <int Top>
HWY_INLINE void choose_affine_scales(const batch& in, rules& by, chosen& to) {
  const float_tag d;
  HWY_ALIGN float high[batch_sub_blocks];
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const float* x = in.x + b * short_block;
    const range r = range_of(x);
    by.offset[b] = r.low != 0.0f ? r.low : first_zero(x);
    high[b] = r.high;
  }
  fill_lanes(by.offset, in.blocks);
  fill_lanes(high, in.blocks);
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    const floats low = hn::Load(d, by.offset + b);
    // Zero is added because the difference of two zeros may be -0.
    const floats width = hn::Add(hn::Sub(hn::Load(d, high + b), low), hn::Zero(d));
    const floats scale = hn::Div(width, all(static_cast<float>(Top)));
    const floats reciprocal = hn::Div(all(1.0f), scale);
    hn::Store(hn::IfThenElseZero(hn::Le(reciprocal, all(FLT_MAX)), reciprocal), d, by.inverse + b);
    hn::Store(all(0.5f), d, by.shift + b);
    hn::Store(to_halves(scale), half_tag(), to.d + b);
    hn::Store(to_halves(low), half_tag(), to.m + b);
  }
}

HWY_INLINE void truncate_levels(const batch& in, const rules& by, int top, std::uint8_t* q) {
  const floats most = all(static_cast<float>(top));
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const floats offset = all(by.offset[b]), inverse = all(by.inverse[b]), shift = all(by.shift[b]);
    for (std::size_t i = b * short_block; i < (b + 1) * short_block; i += lane_count()) {
      const floats product = hn::Mul(hn::Sub(hn::LoadU(float_tag(), in.x + i), offset), inverse);
      store_integers(hn::Min(hn::Add(product, shift), most), q + i);
    }
  }
}

// ---- with importance -------------------------------------------------------------------------------------------

// The same for all blocks: that of their row.
struct row_mean_square {
  HWY_ALIGN float values[batch_sub_blocks];

  explicit row_mean_square(const batch& in) { std::fill_n(values, batch_sub_blocks, in.row_mean_square); }
};

template <int Half>
HWY_INLINE void search_symmetric_levels(const batch& in, chosen& to) {
  const row_mean_square mean_square(in);
  const weigh_by_importance<short_block> weigh = {in.importance, mean_square.values};
  symmetric_fits fits;
  search_groups<short_block>(in.x, in.blocks, weigh, symmetric_search<short_block>{Half, fits});
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    hn::Store(to_halves(hn::Load(float_tag(), fits.scale + b)), half_tag(), to.d + b);
  }
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const std::size_t first = b * short_block;
    auto* q = reinterpret_cast<std::int8_t*>(to.q + first);
    fitted_symmetric_levels<short_block>(Half, in.x + first, fits.inverse[b], q);
  }
}

template <int Top>
HWY_INLINE void search_affine_levels(const batch& in, affine_fits& fits, chosen& to) {
  const row_mean_square mean_square(in);
  const weigh_by_importance<short_block> weigh = {in.importance, mean_square.values};
  fit_affine<short_block>(importance_plan(Top), in.x, in.blocks, weigh, fits);
  for (std::size_t b = 0; b < in.blocks; b += lane_count()) {
    hn::Store(to_halves(hn::Load(float_tag(), fits.scale + b)), half_tag(), to.d + b);
    hn::Store(to_halves(hn::Neg(hn::Load(float_tag(), fits.minimum + b))), half_tag(), to.m + b);
  }
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const std::size_t first = b * short_block;
    fitted_affine_levels<short_block>(Top, in.x + first, fits.inverse[b], fits.low[b], to.q + first);
  }
}

// ---- with or without importance --------------------------------------------------------------------------------

template <int Half, class Block>
void encode_symmetric(const batch& in, Block* out) {
  chosen levels;
  if (in.importance != nullptr) {
    search_symmetric_levels<Half>(in, levels);
  } else {
    rules by;
    choose_symmetric_scales<Half>(in, by, levels);
    truncate_levels(in, by, 2 * Half - 1, levels.q);
  }
  pack(levels, in.blocks, out);
}

template <int Top, const codec& Reference, class Block>
void encode_affine(const batch& in, Block* out) {
  chosen levels;
  if (in.importance == nullptr) {
    rules by;
    choose_affine_scales<Top>(in, by, levels);
    truncate_levels(in, by, Top, levels.q);
    return pack(levels, in.blocks, out);
  }
  affine_fits fits;
  search_affine_levels<Top>(in, fits, levels);
  pack(levels, in.blocks, out);
  for (std::size_t b = 0; b < in.blocks; ++b) {
    if (fits.valid[b] != 0.0f) continue;
    const std::size_t first = b * short_block;
    auto* block = reinterpret_cast<std::byte*>(out + b);
    Reference.quantize_blocks(in.x + first, in.importance + first, in.row_mean_square, block, 1);
  }
}

// ---- decoding --------------------------------------------------------------------------------------------------

// Stores the levels of a block, minus Less.
template <int Less, class Block>
HWY_INLINE void unpack(const Block& in, std::int8_t* q) {
  const hn::RebindToSigned<sixteen_tag> s;
  sixteen low = unpack_low(in.qs), high = unpack_high(in.qs);
  if constexpr (has_fifth_bits<Block>) {
    low = hn::Or(low, unpack_fifth_bits(in.qh));
    high = hn::Or(high, unpack_fifth_bits(in.qh + 2));
  }
  hn::Store(hn::Sub(hn::BitCast(s, low), hn::Set(s, Less)), s, q);
  hn::Store(hn::Sub(hn::BitCast(s, high), hn::Set(s, Less)), s, q + 16);
}

template <int Half, class Block>
HWY_INLINE void decode_symmetric(const Block& in, float* x) {
  HWY_ALIGN std::int8_t q[short_block];
  unpack<Half>(in, q);
  scale_levels(q, load_scale(in.d), x);
}

template <class Block>
HWY_INLINE void decode_affine(const Block& in, float* x) {
  HWY_ALIGN std::int8_t q[short_block];
  unpack<0>(in, q);
  scale_levels(q, load_scale(in.d), load_scale(in.m), x);
}

// ---- codecs ----------------------------------------------------------------------------------------------------

template <class Block, void (*Decode)(const Block&, float*), void (*Encode)(const batch&, Block*)>
constexpr codec short_codec(format id, std::uint32_t scales) {
  return {id,
          dequantize_blocks<Block, Decode>,
          quantize_batches<Block, short_block, batch_sub_blocks, Encode>,
          scales,
          {0, 2}};
}

}  // namespace

const codec& q8_0() {
  static constexpr codec vector = {format::Q8_0, dequantize_blocks<block_q8_0, decode_q8_0>, quantize_q8_0, 1, {0, 2}};
  return vector;
}

const codec& q4_0() {
  static constexpr codec vector = short_codec<block_q4_0, decode_symmetric<8>, encode_symmetric<8> >(format::Q4_0, 1);
  return vector;
}

const codec& q4_1() {
  static constexpr codec vector =
      short_codec<block_q4_1, decode_affine, encode_affine<15, scalar_q4_1> >(format::Q4_1, 2);
  return vector;
}

const codec& q5_0() {
  static constexpr codec vector = short_codec<block_q5_0, decode_symmetric<16>, encode_symmetric<16> >(format::Q5_0, 1);
  return vector;
}

const codec& q5_1() {
  static constexpr codec vector =
      short_codec<block_q5_1, decode_affine, encode_affine<31, scalar_q5_1> >(format::Q5_1, 2);
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(q8_0);
HWY_EXPORT(q4_0);
HWY_EXPORT(q4_1);
HWY_EXPORT(q5_0);
HWY_EXPORT(q5_1);

const codec& vector_q8_0() { return HWY_DYNAMIC_DISPATCH(q8_0)(); }
const codec& vector_q4_0() { return HWY_DYNAMIC_DISPATCH(q4_0)(); }
const codec& vector_q4_1() { return HWY_DYNAMIC_DISPATCH(q4_1)(); }
const codec& vector_q5_0() { return HWY_DYNAMIC_DISPATCH(q5_0)(); }
const codec& vector_q5_1() { return HWY_DYNAMIC_DISPATCH(q5_1)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
