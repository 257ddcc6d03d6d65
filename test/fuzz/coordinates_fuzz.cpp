// libFuzzer: any bytes as points, and as coordinates of four bits. What was encoded must be decoded to within half a
// step, and what is decoded must be finite, and encode to itself where the codec says so.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "hartonomous/coordinates.hpp"
#include "hartonomous/error.hpp"

#include "codecs.hpp"

namespace {

using namespace hartonomous;
using fuzz::require;

bool finite(const point& p) { return std::isfinite(p.x) && std::isfinite(p.y) && std::isfinite(p.z); }

bool near(float value, float read, const axis_range& axis) {
  return std::abs(value - read) <= (axis.high - axis.low) / 255.0f * 0.501f;
}

void check_point(const point& p) {
  try {
    const point read = dequantize_q8(quantize_q8(p.x, p.y, p.z));
    require(near(p.x, read.x, axes[0]) && near(p.y, read.y, axes[1]) && near(p.z, read.z, axes[2]));
  } catch (const error&) {
  }
  try {
    const point_f32 bytes = encode_point_f32(p);
    require(finite(p) && encode_point_f32(decode_point_f32(bytes)) == bytes);
  } catch (const error&) {
    require(!finite(p));
  }
  try {
    const point_f16 bytes = encode_point_f16(p);
    require(finite(p) && finite(decode_point_f16(bytes)) && encode_point_f16(decode_point_f16(bytes)) == bytes);
  } catch (const error&) {
  }
}

// Any three bytes are a point within the space.
void check_bytes(const point_q8& bytes) {
  const point p = dequantize_q8(bytes);
  check_in_space(p);
  require(quantize_q8(p.x, p.y, p.z) == bytes);
}

void check_encoding(const std::vector<float>& values, std::int64_t block_size) {
  no_interrupts none;
  std::vector<std::byte> bytes;
  try {
    bytes = quantize_q4k(values, block_size, none);
  } catch (const error&) {
    return;
  }
  require(bytes.size() == static_cast<std::size_t>(q4k_bytes(static_cast<std::int64_t>(values.size()), block_size)));
  q4k_encoder encoder(block_size);
  for (const float value : values) encoder.append(value);
  require(encoder.finish() == bytes);
  std::vector<float> read(values.size());
  dequantize_q4k(bytes, static_cast<std::int64_t>(read.size()), block_size, read.data(), none);
}

void check_decoding(span<const std::byte> bytes, std::int64_t count, std::int64_t block_size) {
  no_interrupts none;
  try {
    check_q4k_length(bytes, count, block_size);
    std::vector<float> read(static_cast<std::size_t>(count));
    dequantize_q4k(bytes, count, block_size, read.data(), none);
  } catch (const error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 16) return 0;
  std::int64_t count = 0;
  std::int32_t block_size = 0;
  std::memcpy(&count, data, sizeof count);
  std::memcpy(&block_size, data + 8, sizeof block_size);
  const span<const std::byte> rest(reinterpret_cast<const std::byte*>(data) + 12, size - 12);
  check_decoding(rest, count, block_size);
  // Lengths that fit the bytes: else mutations seldom get past them.
  const std::int64_t small_block = 1 + (block_size & 0x3f);
  for (std::int64_t fits = 0; fits <= static_cast<std::int64_t>(2 * rest.size()); ++fits) {
    if (q4k_bytes(fits, small_block) == static_cast<std::int64_t>(rest.size())) check_decoding(rest, fits, small_block);
  }
  std::vector<float> values(rest.size() / sizeof(float));
  if (!values.empty()) std::memcpy(values.data(), rest.data(), values.size() * sizeof(float));
  check_encoding(values, small_block);
  for (std::size_t i = 0; i + 2 < values.size(); i += 3) check_point({values[i], values[i + 1], values[i + 2]});
  check_bytes({rest.data()[0], rest.data()[1], rest.data()[2]});
  return 0;
}
