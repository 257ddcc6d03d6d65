// Q4_K and Q5_K with vector instructions: the same bytes and floats as q4_k_q5_k.cpp.
//
// The searches of the encoders run with one sub-block per lane over a batch of blocks; packing is the scalar code's.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_q4_k_q5_k.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cstdint>

#include "codec/affine-inl.hpp"
#include "codec/batches.hpp"
#include "codec/q4_k_q5_k.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& q4_k() { return scalar_q4_k; }
const codec& q5_k() { return scalar_q5_k; }

#else

namespace {

using namespace q4_k_q5_k;

constexpr std::size_t batch_blocks = batch_sub_blocks / sub_blocks;

// ---- encoding --------------------------------------------------------------------------------------------------

// Without importance, the weight of a number is its magnitude plus the root mean square of its sub-block.
struct weigh_by_magnitude {
  template <class V>
  HWY_INLINE void operator()(std::size_t, std::size_t, const float* x, float* HWY_RESTRICT w) const {
    const std::size_t lanes = width<V>::lanes();
    V squares = width<V>::set(0.0f);
    for (std::size_t i = 0; i < sub_block; ++i) {
      const V xi = width<V>::load(x + i * lanes);
      squares = add(squares, mul(xi, xi));
    }
    const V rms = sqrt(div(squares, width<V>::set(static_cast<float>(sub_block))));
    for (std::size_t i = 0; i < sub_block; ++i) {
      store(add(rms, abs(width<V>::load(x + i * lanes))), w + i * lanes);
    }
  }
};

void fit(const affine_plan& plan, const batch& in, affine_fits& fits) {
  const std::size_t count = in.blocks * sub_blocks;
  if (in.importance == nullptr) {
    fit_affine<sub_block>(plan, in.x, count, weigh_by_magnitude(), fits);
    return;
  }
  float squares[batch_blocks];
  HWY_ALIGN float mean_square[batch_sub_blocks] = {};
  sums_of_squares<super_block>(in.x, in.blocks, squares);
  for (std::size_t j = 0; j < count; ++j) {
    mean_square[j] = 2.0f * squares[j / sub_blocks] / static_cast<float>(super_block);
  }
  const weigh_by_importance<sub_block> weigh = {in.importance, mean_square};
  fit_affine<sub_block>(importance_plan(plan.top), in.x, count, weigh, fits);
}

// Scales and levels of the block whose sub-blocks start with sub-block `at` of the batch.
template <class Block>
HWY_INLINE chosen encode_common(int top, const float* x, bool by_importance, const affine_fits& fits, std::size_t at,
                                Block& out) {
  chosen to;
  if (by_importance) {
    to.d = search_positive(top_scale, sub_blocks, fits.scale + at, fits.total + at, to.scale);
    to.dmin = search_positive(top_scale, sub_blocks, fits.minimum + at, fits.total + at, to.minimum);
  } else {
    to.d = share_of_largest(fits.scale + at, to.scale);
    to.dmin = share_of_largest(fits.minimum + at, to.minimum);
  }
  pack_scales(to, out.scales);
  out.d.set(to.d);
  out.dmin.set(to.dmin);
  const float d = out.d.get(), dmin = out.dmin.get();
  for (std::size_t j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(to.scale[j]);
    const float* mine = x + j * sub_block;
    std::uint8_t* q = to.q + j * sub_block;
    if (scale != 0.0f) {
      stored_affine_levels<sub_block>(top, mine, scale, dmin * static_cast<float>(to.minimum[j]), q);
    } else {
      fitted_affine_levels<sub_block>(top, mine, fits.inverse[at + j], fits.low[at + j], q);
    }
  }
  return to;
}

HWY_INLINE void pack(const chosen& from, block_q4_k& out) { pack_nibbles(from.q, out.qs); }

HWY_INLINE void pack(const chosen& from, block_q5_k& out) {
  pack_nibbles(from.q, out.qs);
  pack_fifth_bits(from.q, out.qh);
}

template <class Block>
void encode_batch(const affine_plan& plan, const codec& reference, const batch& in, Block* out) {
  affine_fits fits = {};
  fit(plan, in, fits);
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const float* x = in.x + b * super_block;
    const std::size_t at = b * sub_blocks;
    if (all_valid(fits.valid + at, sub_blocks)) {
      pack(encode_common(plan.top, x, in.importance != nullptr, fits, at, out[b]), out[b]);
    } else {
      encode_by_reference(reference, in, b, out);
    }
  }
}

void encode_q4_k(const batch& in, block_q4_k* out) { encode_batch(q4_plan, scalar_q4_k, in, out); }
void encode_q5_k(const batch& in, block_q5_k* out) { encode_batch(q5_plan, scalar_q5_k, in, out); }

// ---- decoding --------------------------------------------------------------------------------------------------

using byte_tag = hn::Rebind<std::uint8_t, float_tag>;
using bytes = hn::Vec<byte_tag>;

// scale * level - minimum for the levels in `levels`.
HWY_INLINE void decode_levels(bytes levels, floats scale, floats minimum, float* out) {
  const float_tag d;
  const floats q = hn::ConvertTo(d, hn::PromoteTo(int_tag(), levels));
  hn::StoreU(hn::Sub(hn::Mul(scale, q), minimum), d, out);
}

// Bit `Bit` of every byte as the fifth bit of a level. There are only shifts of 16-bit words, but bits from the
// neighboring byte do not reach bit 4.
template <int Bit>
HWY_INLINE bytes fifth_bits(bytes qh) {
  const byte_tag d;
  const hn::Repartition<std::uint16_t, byte_tag> pairs;
  const auto wide = hn::BitCast(pairs, qh);
  const auto fifth = hn::Set(d, 16);
  if constexpr (Bit < 4) {
    return hn::And(hn::BitCast(d, hn::ShiftLeft<4 - Bit>(wide)), fifth);
  } else {
    return hn::And(hn::BitCast(d, hn::ShiftRight<Bit - 4>(wide)), fifth);
  }
}

// Group `Group` of a block: sub-blocks 2 * Group (low nibbles) and 2 * Group + 1. `qh` is null in Q4_K.
template <int Group, bool FifthBits>
HWY_INLINE void decode_group(float d, float dmin, const std::uint8_t* scales, const std::uint8_t* qs,
                             const std::uint8_t* qh, float* out) {
  const byte_tag tag;
  constexpr int j = 2 * Group;
  const floats low_scale = all(d * static_cast<float>(scale_of(scales, j)));
  const floats low_minimum = all(dmin * static_cast<float>(minimum_of(scales, j)));
  const floats high_scale = all(d * static_cast<float>(scale_of(scales, j + 1)));
  const floats high_minimum = all(dmin * static_cast<float>(minimum_of(scales, j + 1)));
  qs += Group * sub_block;
  out += j * sub_block;
  for (std::size_t l = 0; l < sub_block; l += lane_count()) {
    const bytes nibbles = hn::LoadU(tag, qs + l);
    bytes low = hn::And(nibbles, hn::Set(tag, 15)), high = hn::ShiftRight<4>(nibbles);
    if constexpr (FifthBits) {
      const bytes fifth = hn::LoadU(tag, qh + l);
      low = hn::Or(low, fifth_bits<j>(fifth));
      high = hn::Or(high, fifth_bits<j + 1>(fifth));
    }
    decode_levels(low, low_scale, low_minimum, out + l);
    decode_levels(high, high_scale, high_minimum, out + sub_block + l);
  }
}

template <bool FifthBits, class Block>
HWY_INLINE void decode_block(const Block& in, const std::uint8_t* qh, float* out) {
  const float d = in.d.get(), dmin = in.dmin.get();
  decode_group<0, FifthBits>(d, dmin, in.scales, in.qs, qh, out);
  decode_group<1, FifthBits>(d, dmin, in.scales, in.qs, qh, out);
  decode_group<2, FifthBits>(d, dmin, in.scales, in.qs, qh, out);
  decode_group<3, FifthBits>(d, dmin, in.scales, in.qs, qh, out);
}

void decode_q4_k(const block_q4_k& in, float* out) { decode_block<false>(in, nullptr, out); }
void decode_q5_k(const block_q5_k& in, float* out) { decode_block<true>(in, in.qh, out); }

}  // namespace

const codec& q4_k() {
  static constexpr codec vector = {format::Q4_K,
                                   dequantize_run<block_q4_k, super_block, decode_q4_k>,
                                   quantize_batches<block_q4_k, super_block, batch_blocks, encode_q4_k>,
                                   2,
                                   {0, 2}};
  return vector;
}

const codec& q5_k() {
  static constexpr codec vector = {format::Q5_K,
                                   dequantize_run<block_q5_k, super_block, decode_q5_k>,
                                   quantize_batches<block_q5_k, super_block, batch_blocks, encode_q5_k>,
                                   2,
                                   {0, 2}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(q4_k);
HWY_EXPORT(q5_k);

const codec& vector_q4_k() { return HWY_DYNAMIC_DISPATCH(q4_k)(); }
const codec& vector_q5_k() { return HWY_DYNAMIC_DISPATCH(q5_k)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
