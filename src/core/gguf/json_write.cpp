// GGUF metadata as JSON that loses nothing in jsonb.
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "gguf/internal.hpp"

namespace hartonomous {

using namespace gguf_detail;

namespace {

template <class T>
void append_number(std::string& out, T value) {
  char text[64];
  const auto end = std::to_chars(text, text + sizeof text, value);
  out.append(text, end.ptr);
}

// jsonb's numeric has no NaN, infinity or -0, so these are written as their bits.
template <class Float, class Bits>
void append_float(std::string& out, const char* from) {
  static_assert(sizeof(Float) == sizeof(Bits));
  const auto bits = load_le<Bits>(from);
  Float value;
  std::memcpy(&value, &bits, sizeof value);
  if (std::isfinite(value) && !(value == 0 && std::signbit(value))) {
    append_number(out, value);
    return;
  }
  out += "\"0x";
  for (std::size_t i = sizeof(Bits); i-- > 0;) append_hex(out, {from + i, 1});  // most significant byte first
  out += '"';
}

void append_text(std::string& out, std::string_view text) {
  if (is_pg_text(text)) {
    append_json_string(out, text);
    return;
  }
  out += "{\"hex\":\"";
  append_hex(out, text);
  out += "\"}";
}

// One fixed-width element.
void append_scalar(std::string& out, gguf_type type, const char* from) {
  switch (type) {
    case gguf_type::u8:
      return append_number(out, unsigned{load_le<std::uint8_t>(from)});
    case gguf_type::i8:
      return append_number(out, int{load_le<std::int8_t>(from)});
    case gguf_type::u16:
      return append_number(out, load_le<std::uint16_t>(from));
    case gguf_type::i16:
      return append_number(out, load_le<std::int16_t>(from));
    case gguf_type::u32:
      return append_number(out, load_le<std::uint32_t>(from));
    case gguf_type::i32:
      return append_number(out, load_le<std::int32_t>(from));
    case gguf_type::u64:
      return append_number(out, load_le<std::uint64_t>(from));
    case gguf_type::i64:
      return append_number(out, load_le<std::int64_t>(from));
    case gguf_type::f32:
      return append_float<float, std::uint32_t>(out, from);
    case gguf_type::f64:
      return append_float<double, std::uint64_t>(out, from);
    case gguf_type::boolean:
      out += *from != 0 ? "true" : "false";
      return;
    case gguf_type::string:
    case gguf_type::array:
      return;  // no fixed width
  }
}

void append_value(std::string& out, const gguf_kv& kv, interrupt_checker& interrupts) {
  const bool array = kv.type == gguf_type::array;
  if (array) out += '[';
  string_cursor strings(kv.payload);
  std::size_t const width = type_width(kv.element);
  for (std::uint64_t i = 0; i < kv.count; ++i) {
    if (i % 4096 == 0) interrupts.check();
    if (i > 0) out += ',';
    if (kv.element == gguf_type::string) {
      append_text(out, strings.next());
    } else {
      append_scalar(out, kv.element, kv.payload.data() + i * width);
    }
  }
  if (array) out += ']';
}

}  // namespace

std::string metadata_to_json(const gguf_metadata& metadata, interrupt_checker& interrupts) {
  std::string out = "{\"format\":\"gguf\",\"version\":";
  append_number(out, metadata.version);
  out += ",\"alignment\":";
  append_number(out, metadata.alignment);
  out += ",\"kv\":[";
  bool first = true;
  for (const gguf_kv& kv : metadata.kv) {
    check_payload(kv, sqlstate::invalid_parameter_value);
    if (!first) out += ',';
    first = false;
    out += "{\"key\":";
    append_text(out, kv.key);
    out += std::string(",\"type\":\"") + type_name(kv.type) + '"';
    if (kv.type == gguf_type::array) out += std::string(",\"element\":\"") + type_name(kv.element) + '"';
    out += ",\"value\":";
    append_value(out, kv, interrupts);
    out += '}';
  }
  return out + "]}";
}

}  // namespace hartonomous
