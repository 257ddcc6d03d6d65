// Converts JSON scalars to the bytes of GGUF values, if that is possible exactly.
#include "gguf/json_value.hpp"

#include <charconv>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::gguf_detail {

namespace {

using kind = json_value::kind;

[[noreturn]] void refuse(const gguf_kv& kv, source_location thrown = source_location::current()) {
  throw error(
      sqlstate::invalid_text_representation, "invalid GGUF metadata",
      "A value of key " + show_name(kv.key) + " is not of type " + shown_type(kv.element) + ", or out of its range.",
      {}, thrown);
}

template <class T>
void append_integer(gguf_kv& kv, const json_value& value) {
  using limits = std::numeric_limits<T>;
  std::uint64_t bits = 0;
  if (value.what == kind::natural && value.natural <= static_cast<std::uint64_t>(limits::max())) {
    bits = value.natural;
  } else if (value.what == kind::negative && std::is_signed_v<T> &&
             value.negative >= static_cast<std::int64_t>(limits::min())) {
    bits = static_cast<std::uint64_t>(value.negative);
  } else {
    refuse(kv);
  }
  append_le(kv.payload, bits, sizeof(T));
}

// "0x" and all hexadecimal digits of the bits.
template <class Bits>
Bits bits_of_text(const gguf_kv& kv, std::string_view text) {
  std::string bytes;
  if (text.size() != 2 + 2 * sizeof(Bits) || text.substr(0, 2) != "0x" || !decode_hex(text.substr(2), bytes))
    refuse(kv);
  Bits bits = 0;
  for (const char byte : bytes) bits = static_cast<Bits>(bits << 8 | static_cast<unsigned char>(byte));
  return bits;
}

// Parsed directly as the target type: through double, a float would be rounded twice.
template <class Float>
Float parse_decimal(const gguf_kv& kv, std::string_view spelling) {
  std::string text(spelling);
  // The JSON lexer replaces the dot by the decimal point of the C locale.
  for (char& c : text) {
    const bool usual = (c >= '0' && c <= '9') || c == '-' || c == '+' || c == 'e' || c == 'E';
    if (!usual) c = '.';
  }
  Float value = 0;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), value);
  if (end.ec != std::errc() || end.ptr != text.data() + text.size()) refuse(kv);
  return value;
}

template <class Float, class Bits>
void append_float(gguf_kv& kv, const json_value& value) {
  static_assert(sizeof(Float) == sizeof(Bits));
  Float number = 0;
  switch (value.what) {
    case kind::text:
      append_le(kv.payload, bits_of_text<Bits>(kv, value.text), sizeof(Bits));
      return;
    case kind::natural:
      number = static_cast<Float>(value.natural);
      break;
    case kind::negative:
      number = static_cast<Float>(value.negative);
      break;
    case kind::decimal:
      number = parse_decimal<Float>(kv, value.text);
      break;
    default:
      refuse(kv);
  }
  Bits bits;
  std::memcpy(&bits, &number, sizeof bits);
  append_le(kv.payload, bits, sizeof bits);
}

void append_text(gguf_kv& kv, const json_value& value) {
  if (value.what != kind::text && value.what != kind::bytes) refuse(kv);
  append_le(kv.payload, value.text.size(), 8);
  kv.payload += value.text;
}

}  // namespace

void append_element(gguf_kv& kv, const json_value& value) {
  switch (kv.element) {
    case gguf_type::u8:
      append_integer<std::uint8_t>(kv, value);
      break;
    case gguf_type::i8:
      append_integer<std::int8_t>(kv, value);
      break;
    case gguf_type::u16:
      append_integer<std::uint16_t>(kv, value);
      break;
    case gguf_type::i16:
      append_integer<std::int16_t>(kv, value);
      break;
    case gguf_type::u32:
      append_integer<std::uint32_t>(kv, value);
      break;
    case gguf_type::i32:
      append_integer<std::int32_t>(kv, value);
      break;
    case gguf_type::u64:
      append_integer<std::uint64_t>(kv, value);
      break;
    case gguf_type::i64:
      append_integer<std::int64_t>(kv, value);
      break;
    case gguf_type::f32:
      append_float<float, std::uint32_t>(kv, value);
      break;
    case gguf_type::f64:
      append_float<double, std::uint64_t>(kv, value);
      break;
    case gguf_type::string:
      append_text(kv, value);
      break;
    case gguf_type::boolean:
      if (value.what != kind::boolean) refuse(kv);
      kv.payload += value.truth ? '\1' : '\0';
      break;
    case gguf_type::array:
      refuse(kv);
  }
  ++kv.count;
}

}  // namespace hartonomous::gguf_detail
