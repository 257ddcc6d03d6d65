// Q6_K with vector instructions: the same bytes and floats as q6_k.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_q6_k.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cstdint>

#include "codec/batches.hpp"
#include "codec/q6_k.hpp"
#include "codec/symmetric-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& q6_k_codec() { return scalar_q6_k; }

#else

namespace {

using namespace q6_k;

constexpr std::size_t batch_blocks = batch_sub_blocks / sub_blocks;

// ---- encoding --------------------------------------------------------------------------------------------------

// The importance itself is the weight.
struct weigh_as_given {
  const float* importance;

  template <class V>
  HWY_INLINE void operator()(std::size_t at, std::size_t group, const float*, float* HWY_RESTRICT w) const {
    transpose<sub_block>(importance + at * sub_block, group, width<V>::lanes(), w);
  }
};

void encode_q6_k(const batch& in, block_q6_k* out) {
  symmetric_fits fits = {};
  const symmetric_search<sub_block> search = {half, fits};
  const std::size_t count = in.blocks * sub_blocks;
  if (in.importance != nullptr) {
    search_groups<sub_block>(in.x, count, weigh_as_given{in.importance}, search);
  } else {
    search_groups<sub_block>(in.x, count, weigh_by_square<sub_block>(), search);
  }
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const float* scale = fits.scale + b * sub_blocks;
    const float* inverse = fits.inverse + b * sub_blocks;
    if (!store_scales(scale, out[b])) continue;
    std::int8_t q[super_block];
    const float d = out[b].d.get();
    for (std::size_t j = 0; j < sub_blocks; ++j) {
      const float* x = in.x + b * super_block + j * sub_block;
      const float stored = d * static_cast<float>(out[b].scales[j]);
      if (stored != 0.0f) {
        stored_symmetric_levels<sub_block>(half, x, stored, q + j * sub_block);
      } else {
        fitted_symmetric_levels<sub_block>(half, x, inverse[j], q + j * sub_block);
      }
    }
    pack_levels(q, out[b]);
  }
}

// ---- decoding --------------------------------------------------------------------------------------------------

using byte_tag = hn::Rebind<std::uint8_t, float_tag>;
using bytes = hn::Vec<byte_tag>;

HWY_INLINE void decode_levels(bytes levels, float scale, float* out) {
  const int_tag i;
  const ints q = hn::Sub(hn::PromoteTo(i, levels), hn::Set(i, half));
  hn::StoreU(hn::Mul(all(scale), hn::ConvertTo(float_tag(), q)), float_tag(), out);
}

// Two bits of every byte, from bit `Bit` on, as the upper bits of a level. There are only shifts of 16-bit words, but
// bits from the neighboring byte do not reach bits 4 and 5.
template <int Bit>
HWY_INLINE bytes upper_bits(bytes qh) {
  const byte_tag d;
  const hn::Repartition<std::uint16_t, byte_tag> pairs;
  const auto wide = hn::BitCast(pairs, qh);
  if constexpr (Bit < 4) {
    return hn::And(hn::BitCast(d, hn::ShiftLeft<4 - Bit>(wide)), hn::Set(d, 48));
  } else {
    return hn::And(hn::BitCast(d, hn::ShiftRight<Bit - 4>(wide)), hn::Set(d, 48));
  }
}

// Decodes sixteen weights of each quarter of a half block, beginning with `l`.
HWY_INLINE void decode_sixteen(const std::uint8_t* ql, const std::uint8_t* qh, const float* scale, float* out) {
  const byte_tag d;
  const bytes mask = hn::Set(d, 15);
  for (std::size_t l = 0; l < sub_block; l += lane_count()) {
    const bytes first = hn::LoadU(d, ql + l), second = hn::LoadU(d, ql + 32 + l), upper = hn::LoadU(d, qh + l);
    decode_levels(hn::Or(hn::And(first, mask), upper_bits<0>(upper)), scale[0], out + l);
    decode_levels(hn::Or(hn::And(second, mask), upper_bits<2>(upper)), scale[2], out + 32 + l);
    decode_levels(hn::Or(hn::ShiftRight<4>(first), upper_bits<4>(upper)), scale[4], out + 64 + l);
    decode_levels(hn::Or(hn::ShiftRight<4>(second), upper_bits<6>(upper)), scale[6], out + 96 + l);
  }
}

void decode_q6_k(const block_q6_k& in, float* out) {
  const float d = in.d.get();
  float scale[sub_blocks];
  for (std::size_t j = 0; j < sub_blocks; ++j) scale[j] = d * static_cast<float>(in.scales[j]);
  for (std::size_t n = 0; n < 2; ++n) {
    const std::uint8_t* ql = in.ql + 64 * n;
    const std::uint8_t* qh = in.qh + 32 * n;
    decode_sixteen(ql, qh, scale + 8 * n, out + 128 * n);
    decode_sixteen(ql + sub_block, qh + sub_block, scale + 8 * n + 1, out + 128 * n + sub_block);
  }
}

}  // namespace

const codec& q6_k_codec() {
  static constexpr codec vector = {format::Q6_K,
                                   dequantize_run<block_q6_k, super_block, decode_q6_k>,
                                   quantize_batches<block_q6_k, super_block, batch_blocks, encode_q6_k>,
                                   1,
                                   {208}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(q6_k_codec);

const codec& vector_q6_k() { return HWY_DYNAMIC_DISPATCH(q6_k_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
