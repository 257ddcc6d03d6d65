// Q1_0 and Q2_0 with vector instructions: the same bytes and floats as q1_0_q2_0.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_q1_0_q2_0.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstring>

#include "codec/scalar.hpp"
#include "codec/short-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& q1_0_codec() { return scalar_q1_0; }
const codec& q2_0_codec() { return scalar_q2_0; }

#else

namespace {

// ---- Q1_0 ------------------------------------------------------------------------------------------------------

// Sixteen bits at a time. Highway's functions for bits access up to eight bytes.
constexpr std::size_t bit_bytes = 2;
constexpr std::size_t bit_buffer = 8;

HWY_INLINE void store_signs(const float* x, std::uint8_t* qs) {
  const sixteen_tag d;
  const hn::RebindToUnsigned<int_tag> u;
  const hn::Rebind<std::uint8_t, float_tag> bytes;
  HWY_ALIGN std::uint8_t positive[sign_block];
  for (std::size_t i = 0; i < sign_block; i += lane_count()) {
    const mask m = hn::Ge(hn::LoadU(float_tag(), x + i), hn::Zero(float_tag()));
    hn::StoreU(hn::TruncateTo(bytes, hn::VecFromMask(u, hn::RebindMask(u, m))), bytes, positive + i);
  }
  for (std::size_t i = 0; i < sign_block / 8; i += bit_bytes) {
    std::uint8_t bits[bit_buffer];
    hn::StoreMaskBits(d, hn::Ne(hn::Load(d, positive + 8 * i), hn::Zero(d)), bits);
    std::memcpy(qs + i, bits, bit_bytes);
  }
}

void quantize_q1_0(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<block_q1_0*>(out);
  float total[batch_sub_blocks];
  for (std::size_t first = 0; first < count; first += batch_sub_blocks) {
    const std::size_t blocks = std::min(batch_sub_blocks, count - first);
    const float* x = in + first * sign_block;
    sums_of_blocks<sign_block>(
        x, blocks, [](float value) { return std::fabs(value); }, total);
    for (std::size_t b = 0; b < blocks; ++b) {
      block[first + b].d.set(total[b] / static_cast<float>(sign_block));
      store_signs(x + b * sign_block, block[first + b].qs);
    }
  }
}

HWY_INLINE void decode_q1_0(const block_q1_0& in, float* x) {
  const sixteen_tag d;
  HWY_ALIGN std::uint8_t q[sign_block];
  for (std::size_t i = 0; i < sign_block / 8; i += bit_bytes) {
    std::uint8_t bits[bit_buffer] = {};
    std::memcpy(bits, in.qs + i, bit_bytes);
    hn::Store(hn::IfThenElse(hn::LoadMaskBits(d, bits), hn::Set(d, 1), hn::Set(d, 255)), d, q + 8 * i);
  }
  // The sign changes also if the scale is NaN.
  const floats scale = load_scale(in.d), sign = all(-0.0f);
  for (std::size_t i = 0; i < sign_block; i += lane_count()) {
    const floats level = load_levels(reinterpret_cast<const std::int8_t*>(q) + i);
    hn::StoreU(hn::Xor(scale, hn::And(level, sign)), float_tag(), x + i);
  }
}

// ---- Q2_0 ------------------------------------------------------------------------------------------------------

// Sixteen bytes, four in each lane.
using fours_tag = hn::Repartition<std::uint32_t, sixteen_tag>;
using four_tag = hn::Rebind<std::uint8_t, fours_tag>;

// False if the scale has no reciprocal.
HWY_INLINE bool encode_q2_0(const float* x, block_q2_0& out) {
  const sixteen_tag d;
  const fours_tag fours;
  const float scale = largest_magnitude<two_bit_block>(x);
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  if (inverse > FLT_MAX) return false;
  out.d.set(scale);
  HWY_ALIGN std::uint8_t q[two_bit_block];
  for (std::size_t i = 0; i < two_bit_block; i += lane_count()) {
    store_integers(round_away(hn::Mul(hn::LoadU(float_tag(), x + i), all(inverse))), q + i);
  }
  for (std::size_t i = 0; i < two_bit_block; i += 16) {
    const auto levels = hn::BitCast(fours, hn::Add(hn::Load(d, q + i), hn::Set(d, 1)));
    const auto half = hn::Or(levels, hn::ShiftRight<6>(levels));
    const auto packed = hn::Or(half, hn::ShiftRight<12>(half));
    hn::StoreU(hn::TruncateTo(four_tag(), packed), four_tag(), out.qs + i / 4);
  }
  return true;
}

void quantize_q2_0(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<block_q2_0*>(out);
  for (std::size_t b = 0; b < count; ++b, in += two_bit_block) {
    if (!encode_q2_0(in, block[b])) {
      scalar_q2_0.quantize_blocks(in, nullptr, 0.0f, reinterpret_cast<std::byte*>(block + b), 1);
    }
  }
}

HWY_INLINE void decode_q2_0(const block_q2_0& in, float* x) {
  const sixteen_tag d;
  const fours_tag fours;
  HWY_ALIGN std::uint8_t q[two_bit_block];
  for (std::size_t i = 0; i < two_bit_block; i += 16) {
    const auto packed = hn::PromoteTo(fours, hn::LoadU(four_tag(), in.qs + i / 4));
    const auto half = hn::Or(packed, hn::ShiftLeft<12>(packed));
    const auto levels = hn::BitCast(d, hn::Or(half, hn::ShiftLeft<6>(half)));
    hn::Store(hn::Sub(hn::And(levels, hn::Set(d, 3)), hn::Set(d, 1)), d, q + i);
  }
  scale_levels<two_bit_block>(reinterpret_cast<const std::int8_t*>(q), load_scale(in.d), x);
}

}  // namespace

const codec& q1_0_codec() {
  static constexpr codec vector = {
      format::Q1_0, dequantize_blocks<block_q1_0, decode_q1_0, sign_block>, quantize_q1_0, 1, {0}};
  return vector;
}

const codec& q2_0_codec() {
  static constexpr codec vector = {
      format::Q2_0, dequantize_blocks<block_q2_0, decode_q2_0, two_bit_block>, quantize_q2_0, 1, {0}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(q1_0_codec);
HWY_EXPORT(q2_0_codec);

const codec& vector_q1_0() { return HWY_DYNAMIC_DISPATCH(q1_0_codec)(); }
const codec& vector_q2_0() { return HWY_DYNAMIC_DISPATCH(q2_0_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
