// F16 and BF16 with vector instructions: the same bytes and floats as plain.cpp.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "codec/vector_plain.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cstdint>

#include "codec/half-inl.hpp"
#include "codec/scalar.hpp"
#include "codec/vector.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {

#if HWY_TARGET == HWY_SCALAR

const codec& f16() { return scalar_f16; }
const codec& bf16() { return scalar_bf16; }

#else

namespace {

// ---- one vector ------------------------------------------------------------------------------------------------

struct f16_lanes {
  static HWY_INLINE halves narrow(floats value) { return to_halves(value); }
  static HWY_INLINE floats widen(halves half) { return to_floats(half); }
};

struct bf16_lanes {
  static HWY_INLINE halves narrow(floats value) {
    const hn::RebindToUnsigned<float_tag> u;
    const auto bits = hn::BitCast(u, value);
    const auto upper = hn::ShiftRight<16>(bits);
    const auto odd = hn::And(upper, hn::Set(u, 1));
    const auto number = hn::ShiftRight<16>(hn::Add(hn::Add(bits, hn::Set(u, 0x7FFF)), odd));
    const auto nan = hn::Or(upper, hn::Set(u, 0x0040));
    const auto is_nan = hn::RebindMask(u, hn::IsNaN(value));
    return hn::DemoteTo(half_tag(), hn::BitCast(int_tag(), hn::IfThenElse(is_nan, nan, number)));
  }

  static HWY_INLINE floats widen(halves half) {
    return hn::BitCast(float_tag(), hn::ShiftLeft<16>(hn::PromoteTo(int_tag(), half)));
  }
};

// ---- runs ------------------------------------------------------------------------------------------------------

// Two bytes per number, at any address.
using pair_tag = hn::Repartition<std::uint8_t, half_tag>;

template <class Lanes, const codec& Reference>
void load_run(const std::byte* blocks, float* out, std::size_t count) {
  const std::size_t lanes = lane_count();
  const auto* from = reinterpret_cast<const std::uint8_t*>(blocks);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const halves half = hn::BitCast(half_tag(), hn::LoadU(pair_tag(), from + 2 * i));
    hn::StoreU(Lanes::widen(half), float_tag(), out + i);
  }
  Reference.dequantize_blocks(blocks + 2 * i, out + i, count - i);
}

template <class Lanes, const codec& Reference>
void store_run(const float* in, const float*, float, std::byte* out, std::size_t count) {
  const std::size_t lanes = lane_count();
  auto* to = reinterpret_cast<std::uint8_t*>(out);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const halves half = Lanes::narrow(hn::LoadU(float_tag(), in + i));
    hn::StoreU(hn::BitCast(pair_tag(), half), pair_tag(), to + 2 * i);
  }
  Reference.quantize_blocks(in + i, nullptr, 0.0f, out + 2 * i, count - i);
}

}  // namespace

const codec& f16() {
  static constexpr codec vector = {
      format::F16, load_run<f16_lanes, scalar_f16>, store_run<f16_lanes, scalar_f16>, 0, {}};
  return vector;
}

const codec& bf16() {
  static constexpr codec vector = {
      format::BF16, load_run<bf16_lanes, scalar_bf16>, store_run<bf16_lanes, scalar_bf16>, 0, {}};
  return vector;
}

#endif  // HWY_TARGET

}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::codecs {

HWY_EXPORT(f16);
HWY_EXPORT(bf16);

const codec& vector_f16() { return HWY_DYNAMIC_DISPATCH(f16)(); }
const codec& vector_bf16() { return HWY_DYNAMIC_DISPATCH(bf16)(); }

}  // namespace hartonomous::codecs
#endif  // HWY_ONCE
