// Encodings of points in 3, 6 or 12 bytes (hartonomous/coordinates.hpp).
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "codec/rounding.hpp"
#include "hartonomous/coordinates.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/half.hpp"
#include "bytes/little_endian.hpp"

namespace hartonomous {
namespace {

// The shortest text that reads back as the same float, as PostgreSQL prints floats.
std::string text_of(float value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value > 0.0f ? "Infinity" : "-Infinity";
  char text[32];
  for (int digits = 6; digits <= 9; ++digits) {
    std::snprintf(text, sizeof text, "%.*g", digits, static_cast<double>(value));
    if (std::strtof(text, nullptr) == value) break;
  }
  return text;
}

[[noreturn]] void refuse(const axis_range& axis, float value, const std::string& why,
                         source_location thrown = source_location::current()) {
  throw error(sqlstate::numeric_value_out_of_range,
              std::string(axis.name) + " coordinate " + text_of(value) + " is out of range", why, {}, thrown);
}

void check_in_range(const axis_range& axis, float value) {
  if (value >= axis.low && value <= axis.high) return;  // false for NaN
  refuse(axis, value,
         std::string(axis.name) + " must be between " + text_of(axis.low) + " and " + text_of(axis.high) + ".");
}

// Computed as fractions of the range, in the order of the original design's formulas, so that the bytes agree for every
// value.
std::byte quantize_axis(const axis_range& axis, float value) {
  check_in_range(axis, value);
  const float fraction = (value - axis.low) / (axis.high - axis.low);
  return static_cast<std::byte>(codecs::nearest_int(fraction * 255.0f));
}

float dequantize_axis(const axis_range& axis, std::byte q) {
  return static_cast<float>(std::to_integer<int>(q)) / 255.0f * (axis.high - axis.low) + axis.low;
}

}  // namespace

void check_in_space(const point& p) {
  check_in_range(axes[0], p.x);
  check_in_range(axes[1], p.y);
  check_in_range(axes[2], p.z);
}

point_q8 quantize_q8(float x, float y, float z) {
  return {quantize_axis(axes[0], x), quantize_axis(axes[1], y), quantize_axis(axes[2], z)};
}

point dequantize_q8(const point_q8& bytes) noexcept {
  return {dequantize_axis(axes[0], bytes[0]), dequantize_axis(axes[1], bytes[1]), dequantize_axis(axes[2], bytes[2])};
}

point_f16 encode_point_f16(const point& p) {
  const float values[3] = {p.x, p.y, p.z};
  point_f16 bytes;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!(std::fabs(values[i]) < 65520.0f)) refuse(axes[i], values[i], "F16 holds finite numbers up to 65504.");
    store_u16(f32_to_f16(values[i]), bytes.data() + 2 * i);
  }
  return bytes;
}

point decode_point_f16(const point_f16& bytes) noexcept {
  const std::byte* b = bytes.data();
  return {f16_to_f32(load_u16(b)), f16_to_f32(load_u16(b + 2)), f16_to_f32(load_u16(b + 4))};
}

point_f32 encode_point_f32(const point& p) {
  const float values[3] = {p.x, p.y, p.z};
  point_f32 bytes;
  for (std::size_t i = 0; i < 3; ++i) {
    if (!std::isfinite(values[i])) refuse(axes[i], values[i], "Coordinates must be finite numbers.");
    store_f32(values[i], bytes.data() + 4 * i);
  }
  return bytes;
}

point decode_point_f32(const point_f32& bytes) noexcept {
  const std::byte* b = bytes.data();
  return {load_f32(b), load_f32(b + 4), load_f32(b + 8)};
}

}  // namespace hartonomous
