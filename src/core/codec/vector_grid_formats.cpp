// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S with vector instructions: the same bytes and
// floats as grid_formats.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_grid_formats.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include "codec/grid_encoders.hpp"
#include "codec/grid_search-inl.hpp"
#include "codec/scalar.hpp"
#include "codec/short-inl.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& iq1_s_codec() { return scalar_iq1_s; }
const codec& iq1_m_codec() { return scalar_iq1_m; }
const codec& iq2_xxs_codec() { return scalar_iq2_xxs; }
const codec& iq2_xs_codec() { return scalar_iq2_xs; }
const codec& iq2_s_codec() { return scalar_iq2_s; }
const codec& iq3_xxs_codec() { return scalar_iq3_xxs; }
const codec& iq3_s_codec() { return scalar_iq3_s; }

#else

namespace {

// Makes sixteen levels negative where a bit of the signs is set, those of the first eight lowest.
HWY_INLINE void apply_signs(unsigned signs, std::int8_t* levels) {
  const hn::FixedTag<std::uint8_t, 16> u;
  const hn::RebindToSigned<decltype(u)> s;
  alignas(16) static constexpr std::uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  constexpr std::uint64_t everywhere = 0x0101010101010101;
  HWY_ALIGN const std::uint64_t spread[2] = {(signs & 255) * everywhere, (signs >> 8) * everywhere};
  const auto negative =
      hn::TestBit(hn::BitCast(u, hn::Load(hn::FixedTag<std::uint64_t, 2>(), spread)), hn::Load(u, bits));
  const auto level = hn::Load(s, levels);
  hn::Store(hn::IfThenElse(hn::MaskFromVec(hn::BitCast(s, hn::VecFromMask(u, negative))), hn::Neg(level), level), s,
            levels);
}

template <class Layout>
void decode(const typename Layout::block& in, float* x) {
  const float d = scale_of(in);
  for (int h = 0; h < super_block / 16; ++h) {
    HWY_ALIGN std::int8_t levels[16];
    Layout::point(in, 2 * h, levels);
    Layout::point(in, 2 * h + 1, levels + 8);
    const unsigned signs = Layout::signs(in, 2 * h) | Layout::signs(in, 2 * h + 1) << 8;
    if (signs != 0) apply_signs(signs, levels);
    const floats scale = all(Layout::scale(in, d, h));
    for (std::size_t i = 0; i < 16; i += lane_count()) {
      hn::StoreU(hn::Mul(load_levels(levels + i), scale), float_tag(), x + 16 * h + i);
    }
  }
}

template <class Layout, void (*Encode)(const block_input&, typename Layout::block&)>
constexpr codec codec_of(format id, std::uint32_t scales) {
  using block = typename Layout::block;
  return {
      id, dequantize_run<block, super_block, decode<Layout> >, quantize_run<block, super_block, Encode>, scales, {0}};
}

template <class Layout, class Plan>
constexpr codec codec_of(format id) {
  return codec_of<Layout, encode_grid<Plan, vector_engine, typename Layout::block> >(id, 1);
}

}  // namespace

const codec& iq1_s_codec() {
  static constexpr codec vector = codec_of<iq1_s_layout, encode_iq1_s<vector_engine> >(format::IQ1_S, 1);
  return vector;
}
const codec& iq1_m_codec() {
  static constexpr codec vector = codec_of<iq1_m_layout, encode_iq1_m<vector_engine> >(format::IQ1_M, 0);
  return vector;
}
const codec& iq2_xxs_codec() {
  static constexpr codec vector = codec_of<iq2_xxs_layout, iq2_xxs_plan>(format::IQ2_XXS);
  return vector;
}
const codec& iq2_xs_codec() {
  static constexpr codec vector = codec_of<iq2_xs_layout, iq2_xs_plan>(format::IQ2_XS);
  return vector;
}
const codec& iq2_s_codec() {
  static constexpr codec vector = codec_of<iq2_s_layout, iq2_s_plan>(format::IQ2_S);
  return vector;
}
const codec& iq3_xxs_codec() {
  static constexpr codec vector = codec_of<iq3_xxs_layout, iq3_xxs_plan>(format::IQ3_XXS);
  return vector;
}
const codec& iq3_s_codec() {
  static constexpr codec vector = codec_of<iq3_s_layout, iq3_s_plan>(format::IQ3_S);
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(iq1_s_codec);
HWY_EXPORT(iq1_m_codec);
HWY_EXPORT(iq2_xxs_codec);
HWY_EXPORT(iq2_xs_codec);
HWY_EXPORT(iq2_s_codec);
HWY_EXPORT(iq3_xxs_codec);
HWY_EXPORT(iq3_s_codec);

const codec& vector_iq1_s() { return HWY_DYNAMIC_DISPATCH(iq1_s_codec)(); }
const codec& vector_iq1_m() { return HWY_DYNAMIC_DISPATCH(iq1_m_codec)(); }
const codec& vector_iq2_xxs() { return HWY_DYNAMIC_DISPATCH(iq2_xxs_codec)(); }
const codec& vector_iq2_xs() { return HWY_DYNAMIC_DISPATCH(iq2_xs_codec)(); }
const codec& vector_iq2_s() { return HWY_DYNAMIC_DISPATCH(iq2_s_codec)(); }
const codec& vector_iq3_xxs() { return HWY_DYNAMIC_DISPATCH(iq3_xxs_codec)(); }
const codec& vector_iq3_s() { return HWY_DYNAMIC_DISPATCH(iq3_s_codec)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
