// Values of the numbers in checkpoints (numbers.hpp).
#include "checkpoint/numbers.hpp"

#include <array>
#include <cmath>
#include <limits>

#include "bytes/little_endian.hpp"
#include "hartonomous/half.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

// A float with a sign, `exponent_bits` and the rest of 7 bits as fraction, without infinities.
float small_float(unsigned code, int exponent_bits) noexcept {
  const int fraction_bits = 7 - exponent_bits;
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(code >> fraction_bits) & ((1 << exponent_bits) - 1);
  const int fraction = static_cast<int>(code) & ((1 << fraction_bits) - 1);
  // Without the implicit bit below the smallest normal number.
  const int digits = exponent > 0 ? fraction + (1 << fraction_bits) : fraction;
  const float value = std::ldexp(static_cast<float>(digits), (exponent > 0 ? exponent : 1) - bias - fraction_bits);
  return (code & 0x80) != 0 ? -value : value;
}

std::array<float, 256> make_table(bool e4m3) noexcept {
  std::array<float, 256> table{};
  for (unsigned code = 0; code < table.size(); ++code) {
    const unsigned magnitude = code & 0x7f;
    float value = small_float(code, e4m3 ? 4 : 5);
    if (e4m3 ? magnitude == 0x7f : magnitude > 0x7c) value = std::numeric_limits<float>::quiet_NaN();
    if (!e4m3 && magnitude == 0x7c) value = std::copysign(std::numeric_limits<float>::infinity(), value);
    table[code] = value;
  }
  return table;
}

}  // namespace

std::optional<number_type> find_number_type(std::string_view dtype) noexcept {
  if (dtype == "F32") return number_type::f32;
  if (dtype == "F16") return number_type::f16;
  if (dtype == "BF16") return number_type::bf16;
  if (dtype == "F8_E4M3") return number_type::e4m3;
  if (dtype == "F8_E5M2") return number_type::e5m2;
  if (dtype == "I8") return number_type::i8;
  return std::nullopt;
}

std::size_t bytes_of_number(number_type type) noexcept {
  return type == number_type::f32 ? 4 : type == number_type::f16 || type == number_type::bf16 ? 2 : 1;
}

format carried_as(number_type type) noexcept {
  return type == number_type::f32 ? format::F32 : type == number_type::f16 ? format::F16 : format::BF16;
}

float value_of(number_type type, const char* from) noexcept {
  static const std::array<float, 256> e4m3 = make_table(true);
  static const std::array<float, 256> e5m2 = make_table(false);
  switch (type) {
    case number_type::f16:
      return f16_to_f32(load_le<std::uint16_t>(from));
    case number_type::bf16:
      return bf16_to_f32(load_le<std::uint16_t>(from));
    case number_type::e4m3:
      return e4m3[static_cast<unsigned char>(*from)];
    case number_type::e5m2:
      return e5m2[static_cast<unsigned char>(*from)];
    case number_type::i8:
      return static_cast<float>(static_cast<signed char>(*from));
    case number_type::f32:
      break;
  }
  return half_detail::float_of(load_le<std::uint32_t>(from));
}

}  // namespace hartonomous::checkpoint_detail
