// F32, F16 and BF16: one little-endian number per weight.
#include <cstdint>
#include <cstring>

#include "hartonomous/half.hpp"
#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
constexpr bool little_endian = true;
#else
constexpr bool little_endian = false;
#endif

void load_f32(const std::byte* blocks, float* out, std::size_t count) {
  if constexpr (little_endian) {
    if (count != 0) std::memcpy(out, blocks, count * sizeof(float));
  } else {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(blocks);
    for (std::size_t i = 0; i < count; ++i, bytes += 4) {
      std::uint32_t bits = 0;
      for (unsigned b = 0; b < 4; ++b) bits |= std::uint32_t{bytes[b]} << (8 * b);
      out[i] = half_detail::float_of(bits);
    }
  }
}

void store_f32(const float* in, const float*, float, std::byte* out, std::size_t count) {
  if constexpr (little_endian) {
    if (count != 0) std::memcpy(out, in, count * sizeof(float));
  } else {
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t bits = half_detail::bits_of(in[i]);
      for (unsigned b = 0; b < 4; ++b) out[4 * i + b] = static_cast<std::byte>(bits >> (8 * b));
    }
  }
}

// As one load, so that the compiler can vectorize the loop.
inline std::uint16_t load_u16(const std::byte* from) {
  std::uint16_t bits = 0;
  if constexpr (little_endian) {
    std::memcpy(&bits, from, sizeof bits);
  } else {
    bits = static_cast<std::uint16_t>(std::to_integer<unsigned>(from[0]) | std::to_integer<unsigned>(from[1]) << 8);
  }
  return bits;
}

void load_f16(const std::byte* blocks, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = f16_to_f32(load_u16(blocks + 2 * i));
}

void load_bf16(const std::byte* blocks, float* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) out[i] = bf16_to_f32(load_u16(blocks + 2 * i));
}

template <std::uint16_t (*Narrow)(float)>
void store_16(const float* in, const float*, float, std::byte* out, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t bits = Narrow(in[i]);
    out[2 * i] = static_cast<std::byte>(bits);
    out[2 * i + 1] = static_cast<std::byte>(bits >> 8);
  }
}

}  // namespace

const codec scalar_f32 = {format::F32, load_f32, store_f32, 0, {}};
const codec scalar_f16 = {format::F16, load_f16, store_16<f32_to_f16>, 0, {}};
const codec scalar_bf16 = {format::BF16, load_bf16, store_16<f32_to_bf16>, 0, {}};

}  // namespace hartonomous::codecs
