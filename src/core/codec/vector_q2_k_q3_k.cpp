// Q2_K and Q3_K with vector instructions: the same bytes and floats as q2_k_q3_k.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_q2_k_q3_k.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cstdint>

#include "codec/affine-inl.hpp"
#include "codec/batches.hpp"
#include "codec/q2_k_q3_k.hpp"
#include "codec/symmetric-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& q2_k() { return scalar_q2_k; }
const codec& q3_k() { return scalar_q3_k; }

#else

namespace {

using namespace q2_k_q3_k;

constexpr std::size_t batch_blocks = batch_sub_blocks / sub_blocks;

// For each sub-block of the batch, `factor` times the mean square of its block.
HWY_INLINE void mean_squares(const batch& in, float factor, float* mean_square) {
  float squares[batch_blocks];
  sums_of_squares<super_block>(in.x, in.blocks, squares);
  for (std::size_t j = 0; j < batch_sub_blocks; ++j) {
    const std::size_t block = j / sub_blocks;
    mean_square[j] = block < in.blocks ? factor * squares[block] / static_cast<float>(super_block) : 0.0f;
  }
}

// ---- encoding Q2_K ---------------------------------------------------------------------------------------------

struct weigh_by_magnitude {
  template <class V>
  HWY_INLINE void operator()(std::size_t, std::size_t, const float* x, float* HWY_RESTRICT w) const {
    const std::size_t lanes = width<V>::lanes();
    for (std::size_t i = 0; i < sub_block; ++i) store(abs(width<V>::load(x + i * lanes)), w + i * lanes);
  }
};

void q2_fit(const batch& in, affine_fits& fits) {
  const std::size_t count = in.blocks * sub_blocks;
  if (in.importance == nullptr) {
    fit_affine<sub_block, true>(q2_plan, in.x, count, weigh_by_magnitude(), fits);
    return;
  }
  HWY_ALIGN float mean_square[batch_sub_blocks];
  mean_squares(in, 1.0f, mean_square);
  const weigh_by_importance<sub_block> weigh = {in.importance, mean_square};
  fit_affine<sub_block>(importance_plan(q2_top), in.x, count, weigh, fits);
}

// Encodes the block whose sub-blocks start with sub-block `at` of the batch.
HWY_INLINE void q2_encode_block(const float* x, bool by_importance, const affine_fits& fits, std::size_t at,
                                block_q2_k& out) {
  q2_chosen to;
  if (by_importance) {
    to.d = search_positive(q2_top_scale, sub_blocks, fits.scale + at, fits.total + at, to.scale);
    to.dmin = search_positive(q2_top_scale, sub_blocks, fits.minimum + at, fits.total + at, to.minimum);
  } else {
    to.d = q2_share_of_largest(fits.scale + at, to.scale);
    to.dmin = q2_share_of_largest(fits.minimum + at, to.minimum);
  }
  out.d.set(to.d);
  out.dmin.set(to.dmin);
  const float d = out.d.get(), dmin = out.dmin.get();
  for (std::size_t j = 0; j < sub_blocks; ++j) {
    out.scales[j] = static_cast<std::uint8_t>(to.scale[j] | to.minimum[j] << 4);
    const float scale = d * static_cast<float>(to.scale[j]);
    const float* mine = x + j * sub_block;
    std::uint8_t* q = to.q + j * sub_block;
    if (scale != 0.0f) {
      stored_affine_levels<sub_block>(q2_top, mine, scale, dmin * static_cast<float>(to.minimum[j]), q);
    } else {
      fitted_affine_levels<sub_block>(q2_top, mine, fits.inverse[at + j], fits.low[at + j], q);
    }
  }
  pack_two_bits(to.q, out.qs);
}

void encode_q2_k(const batch& in, block_q2_k* out) {
  affine_fits fits = {};
  q2_fit(in, fits);
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const float* x = in.x + b * super_block;
    const std::size_t at = b * sub_blocks;
    if (all_valid(fits.valid + at, sub_blocks)) {
      q2_encode_block(x, in.importance != nullptr, fits, at, out[b]);
    } else {
      encode_by_reference(scalar_q2_k, in, b, out);
    }
  }
}

// ---- encoding Q3_K ---------------------------------------------------------------------------------------------

void q3_fit(const batch& in, symmetric_fits& fits) {
  const std::size_t count = in.blocks * sub_blocks;
  if (in.importance == nullptr) {
    search_groups<sub_block>(in.x, count, weigh_nothing(), symmetric_improvement<sub_block>{q3_half, fits});
    return;
  }
  HWY_ALIGN float mean_square[batch_sub_blocks];
  mean_squares(in, 2.0f, mean_square);
  const weigh_by_importance<sub_block> weigh = {in.importance, mean_square};
  search_groups<sub_block>(in.x, count, weigh, symmetric_search<sub_block>{q3_half, fits});
}

HWY_INLINE void q3_encode_block(const float* x, bool by_importance, const symmetric_fits& fits, std::size_t at,
                                block_q3_k& out) {
  out.d.set(by_importance ? q3_search_scales(fits.scale + at, fits.total + at, out.scales)
                          : q3_share_of_extreme(fits.scale + at, out.scales));
  const float d = out.d.get();
  std::int8_t q[super_block];
  for (int j = 0; j < sub_blocks; ++j) {
    const float scale = d * static_cast<float>(q3_scale_of(out.scales, j));
    const float* mine = x + j * sub_block;
    std::int8_t* mine_q = q + j * sub_block;
    if (scale != 0.0f) {
      stored_symmetric_levels<sub_block>(q3_half, mine, scale, mine_q);
    } else if (by_importance) {
      fitted_symmetric_levels<sub_block>(q3_half, mine, fits.inverse[at + static_cast<std::size_t>(j)], mine_q);
    } else {
      codecs::improve_symmetric(q3_half, sub_block, mine, mine_q);  // its levels do not follow from a scale
    }
  }
  pack_two_bits(q, out.qs);
  q3_pack_third_bits(q, out.hmask);
}

void encode_q3_k(const batch& in, block_q3_k* out) {
  symmetric_fits fits = {};
  q3_fit(in, fits);
  for (std::size_t b = 0; b < in.blocks; ++b) {
    const std::size_t at = b * sub_blocks;
    if (in.importance != nullptr || all_valid(fits.valid + at, sub_blocks)) {
      q3_encode_block(in.x + b * super_block, in.importance != nullptr, fits, at, out[b]);
    } else {
      encode_by_reference(scalar_q3_k, in, b, out);
    }
  }
}

// ---- decoding --------------------------------------------------------------------------------------------------

using byte_tag = hn::Rebind<std::uint8_t, float_tag>;
using bytes = hn::Vec<byte_tag>;

// Two bits of every byte, from bit 2 * Quarter on. There are only shifts of 16-bit words, but bits from the neighboring
// byte do not reach bits 0 and 1.
template <int Quarter>
HWY_INLINE bytes two_bits(bytes qs) {
  const byte_tag d;
  const hn::Repartition<std::uint16_t, byte_tag> pairs;
  return hn::And(hn::BitCast(d, hn::ShiftRight<2 * Quarter>(hn::BitCast(pairs, qs))), hn::Set(d, 3));
}

// Bit `Bit` of every byte as the third bit of a level.
template <int Bit>
HWY_INLINE bytes third_bits(bytes hmask) {
  const byte_tag d;
  const hn::Repartition<std::uint16_t, byte_tag> pairs;
  const auto wide = hn::BitCast(pairs, hmask);
  if constexpr (Bit < 2) {
    return hn::And(hn::BitCast(d, hn::ShiftLeft<2 - Bit>(wide)), hn::Set(d, 4));
  } else {
    return hn::And(hn::BitCast(d, hn::ShiftRight<Bit - 2>(wide)), hn::Set(d, 4));
  }
}

HWY_INLINE floats to_floats(bytes levels) { return hn::ConvertTo(float_tag(), hn::PromoteTo(int_tag(), levels)); }

// Quarter `Quarter` of half `n` of a block: sub-blocks 8 n + 2 Quarter and the following one.
template <int Quarter>
HWY_INLINE void q2_decode_quarter(const float* scale, const float* minimum, const std::uint8_t* qs, float* out) {
  for (std::size_t l = 0; l < 32; l += lane_count()) {
    const bytes levels = two_bits<Quarter>(hn::LoadU(byte_tag(), qs + l));
    const std::size_t j = 2 * Quarter + l / sub_block;
    const floats value = hn::Sub(hn::Mul(all(scale[j]), to_floats(levels)), all(minimum[j]));
    hn::StoreU(value, float_tag(), out + 32 * Quarter + l);
  }
}

void decode_q2_k(const block_q2_k& in, float* out) {
  const float d = in.d.get(), dmin = in.dmin.get();
  float scale[sub_blocks], minimum[sub_blocks];
  for (std::size_t j = 0; j < sub_blocks; ++j) {
    scale[j] = d * static_cast<float>(in.scales[j] & 15);
    minimum[j] = dmin * static_cast<float>(in.scales[j] >> 4);
  }
  for (std::size_t n = 0; n < 2; ++n) {
    q2_decode_quarter<0>(scale + 8 * n, minimum + 8 * n, in.qs + 32 * n, out + 128 * n);
    q2_decode_quarter<1>(scale + 8 * n, minimum + 8 * n, in.qs + 32 * n, out + 128 * n);
    q2_decode_quarter<2>(scale + 8 * n, minimum + 8 * n, in.qs + 32 * n, out + 128 * n);
    q2_decode_quarter<3>(scale + 8 * n, minimum + 8 * n, in.qs + 32 * n, out + 128 * n);
  }
}

template <int Half, int Quarter>
HWY_INLINE void q3_decode_quarter(const float* scale, const block_q3_k& in, float* out) {
  for (std::size_t l = 0; l < 32; l += lane_count()) {
    const bytes low = two_bits<Quarter>(hn::LoadU(byte_tag(), in.qs + 32 * Half + l));
    const bytes levels = hn::Or(low, third_bits<4 * Half + Quarter>(hn::LoadU(byte_tag(), in.hmask + l)));
    // This is exact in floats as in integers.
    const floats q = hn::Sub(to_floats(levels), all(static_cast<float>(q3_half)));
    const std::size_t j = 8 * Half + 2 * Quarter + l / sub_block;
    hn::StoreU(hn::Mul(all(scale[j]), q), float_tag(), out + 128 * Half + 32 * Quarter + l);
  }
}

void decode_q3_k(const block_q3_k& in, float* out) {
  const float d = in.d.get();
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) scale[j] = d * static_cast<float>(q3_scale_of(in.scales, j));
  q3_decode_quarter<0, 0>(scale, in, out);
  q3_decode_quarter<0, 1>(scale, in, out);
  q3_decode_quarter<0, 2>(scale, in, out);
  q3_decode_quarter<0, 3>(scale, in, out);
  q3_decode_quarter<1, 0>(scale, in, out);
  q3_decode_quarter<1, 1>(scale, in, out);
  q3_decode_quarter<1, 2>(scale, in, out);
  q3_decode_quarter<1, 3>(scale, in, out);
}

}  // namespace

const codec& q2_k() {
  static constexpr codec vector = {format::Q2_K,
                                   dequantize_run<block_q2_k, super_block, decode_q2_k>,
                                   quantize_batches<block_q2_k, super_block, batch_blocks, encode_q2_k>,
                                   2,
                                   {80, 82}};
  return vector;
}

const codec& q3_k() {
  static constexpr codec vector = {format::Q3_K,
                                   dequantize_run<block_q3_k, super_block, decode_q3_k>,
                                   quantize_batches<block_q3_k, super_block, batch_blocks, encode_q3_k>,
                                   1,
                                   {108}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(q2_k);
HWY_EXPORT(q3_k);

const codec& vector_q2_k() { return HWY_DYNAMIC_DISPATCH(q2_k)(); }
const codec& vector_q3_k() { return HWY_DYNAMIC_DISPATCH(q3_k)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
