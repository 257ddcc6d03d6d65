// MXFP4 and NVFP4 with vector instructions: the same bytes and floats as mxfp4_nvfp4.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_mxfp4_nvfp4.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <limits>

#include "codec/mxfp4_nvfp4.hpp"
#include "codec/short-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& mxfp4_codec() { return scalar_mxfp4; }
const codec& nvfp4_codec() { return scalar_nvfp4; }

#else

namespace {

// Halfway between one value and the next. A magnitude above it is nearer to the next; this is exact, because within
// this range the scalar code rounds no difference, and the scale has few bits.
constexpr float fp4_middles[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};

// The levels of `Count` numbers, none of which is more than 16 times the scale in magnitude.
template <std::size_t Count>
HWY_INLINE void nearest_levels(const float* x, float scale, std::uint8_t* q) {
  const float_tag d;
  for (std::size_t i = 0; i < Count; i += lane_count()) {
    const floats xi = hn::LoadU(d, x + i);
    const floats magnitude = hn::Abs(xi);
    floats level = hn::Zero(d);
    for (int k = 0; k < 7; ++k) {
      level = hn::IfThenElse(hn::Gt(magnitude, all(fp4_middles[k] * scale)), all(static_cast<float>(k + 1)), level);
    }
    const mask negative = hn::And(hn::Lt(xi, hn::Zero(d)), hn::Gt(level, hn::Zero(d)));
    store_integers(hn::IfThenElse(negative, hn::Add(level, all(8.0f)), level), q + i);
  }
}

HWY_INLINE hn::Vec<hn::RebindToSigned<sixteen_tag> > values_of(sixteen levels) {
  const hn::RebindToSigned<sixteen_tag> s;
  return hn::TableLookupBytes(hn::LoadU(s, fp4_values), hn::BitCast(s, levels));
}

// ---- MXFP4 -----------------------------------------------------------------------------------------------------

void quantize_mxfp4(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<block_mxfp4*>(out);
  HWY_ALIGN std::uint8_t q[short_block];
  for (std::size_t b = 0; b < count; ++b, in += short_block) {
    block[b].e = mxfp4::exponent_for(largest_magnitude<short_block>(in));
    nearest_levels<short_block>(in, mxfp4::scale_of(block[b].e), q);
    pack_nibbles(q, block[b].qs);
  }
}

HWY_INLINE void decode_mxfp4(const block_mxfp4& in, float* x) {
  const hn::RebindToSigned<sixteen_tag> s;
  HWY_ALIGN std::int8_t q[short_block];
  hn::Store(values_of(unpack_low(in.qs)), s, q);
  hn::Store(values_of(unpack_high(in.qs)), s, q + 16);
  scale_levels(q, all(mxfp4::scale_of(in.e)), x);
}

// ---- NVFP4 -----------------------------------------------------------------------------------------------------

using eights_tag = hn::Repartition<std::uint64_t, sixteen_tag>;

// Packs two sub-blocks: the low nibbles of eight bytes hold the first half of a sub-block, the high ones the second.
HWY_INLINE void pack_pair(const std::uint8_t* q, std::uint8_t* qs) {
  const sixteen_tag d;
  const eights_tag halves;
  const auto first = hn::BitCast(halves, hn::Load(d, q)), second = hn::BitCast(halves, hn::Load(d, q + 16));
  const sixteen low = hn::BitCast(d, hn::InterleaveLower(halves, first, second));
  const sixteen high = hn::BitCast(d, hn::InterleaveUpper(halves, first, second));
  hn::StoreU(hn::Or(low, hn::ShiftLeft<4>(high)), d, qs);
}

HWY_INLINE void unpack_pair(const std::uint8_t* qs, std::int8_t* q) {
  const hn::RebindToSigned<sixteen_tag> s;
  const eights_tag halves;
  const auto low = hn::BitCast(halves, values_of(unpack_low(qs))),
             high = hn::BitCast(halves, values_of(unpack_high(qs)));
  hn::Store(hn::BitCast(s, hn::InterleaveLower(halves, low, high)), s, q);
  hn::Store(hn::BitCast(s, hn::InterleaveUpper(halves, low, high)), s, q + 16);
}

// False if a number is too large for the format, where nearest_levels() would not do.
HWY_INLINE bool encode_nvfp4(const float* in, block_nvfp4& out) {
  using namespace nvfp4;
  HWY_ALIGN std::uint8_t q[block];
  for (std::size_t s = 0; s < sub_blocks; ++s) {
    const float* x = in + s * sub_block;
    const float magnitude = largest_magnitude<sub_block>(x);
    if (magnitude > largest_held) return false;
    out.scales[s] = nearest_scale(magnitude / 6.0f);
    const float scale = scale_of(out.scales[s]);
    // All levels are equally near if the scale is zero, and the first one is zero: an infinite scale gives it.
    nearest_levels<sub_block>(x, scale != 0.0f ? scale : std::numeric_limits<float>::infinity(), q + s * sub_block);
  }
  pack_pair(q, out.qs);
  pack_pair(q + 2 * sub_block, out.qs + sub_block);
  return true;
}

void quantize_nvfp4(const float* in, const float*, float, std::byte* out, std::size_t count) {
  auto* block = reinterpret_cast<block_nvfp4*>(out);
  for (std::size_t b = 0; b < count; ++b, in += nvfp4::block) {
    if (!encode_nvfp4(in, block[b])) {
      scalar_nvfp4.quantize_blocks(in, nullptr, 0.0f, reinterpret_cast<std::byte*>(block + b), 1);
    }
  }
}

HWY_INLINE void decode_nvfp4(const block_nvfp4& in, float* x) {
  using namespace nvfp4;
  HWY_ALIGN std::int8_t q[block];
  unpack_pair(in.qs, q);
  unpack_pair(in.qs + sub_block, q + 2 * sub_block);
  for (std::size_t s = 0; s < sub_blocks; ++s) {
    scale_levels<sub_block>(q + s * sub_block, all(scale_of(in.scales[s])), x + s * sub_block);
  }
}

}  // namespace

const codec& mxfp4_codec() {
  static constexpr codec vector = {format::MXFP4, dequantize_blocks<block_mxfp4, decode_mxfp4>, quantize_mxfp4, 0, {}};
  return vector;
}

const codec& nvfp4_codec() {
  static constexpr codec vector = {
      format::NVFP4, dequantize_blocks<block_nvfp4, decode_nvfp4, nvfp4::block>, quantize_nvfp4, 0, {}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(mxfp4_codec);
HWY_EXPORT(nvfp4_codec);

const codec& vector_mxfp4() { return HWY_DYNAMIC_DISPATCH(mxfp4_codec)(); }
const codec& vector_nvfp4() { return HWY_DYNAMIC_DISPATCH(nvfp4_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
