// Compact forms of an atom's place in space, and of runs of coordinates: the seed design's own codecs.
//
// These are for coordinates; weights use hartonomous/codec.hpp (ggml's Q4_K is another layout). Multi-byte numbers are
// little-endian. NaN and infinity are refused everywhere with error 22003.
//
// Space: X and Y in [0, 100], Z (importance) in [-10, 10].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

struct point {
  float x, y, z;
};

struct axis_range {
  const char* name;
  float low, high;
};
inline constexpr axis_range axes[3] = {{"x", 0.0f, 100.0f}, {"y", 0.0f, 100.0f}, {"z", -10.0f, 10.0f}};

// Throws 22003, naming the axis and the value, unless all three coordinates are in range.
void check_in_space(const point& p);

// ---- points ----------------------------------------------------------------------------------------------------

using point_q8 = std::array<std::byte, 3>;
using point_f16 = std::array<std::byte, 6>;
using point_f32 = std::array<std::byte, 12>;

// One byte a coordinate: the axis' range onto 0..255, rounded half to even. Off by at most 0.2 in X and Y, 0.04 in Z
// (half a step). Error 22003 outside the space.
point_q8 quantize_q8(float x, float y, float z);
point dequantize_q8(const point_q8& bytes) noexcept;

// Any finite point. F16: error 22003 for magnitudes of 65520 and more, too.
point_f16 encode_point_f16(const point& p);
point decode_point_f16(const point_f16& bytes) noexcept;
point_f32 encode_point_f32(const point& p);
point decode_point_f32(const point_f32& bytes) noexcept;

// ---- runs of coordinates, four bits each -----------------------------------------------------------------------
//
// For each block of block_size numbers (the last may be shorter): float4 scale, float4 minimum, then a nibble a
// number, the first of two in the high nibble; an odd block ends in a zero nibble. x = minimum + q * scale with
// scale = (max - min) / 15: off by at most half a scale. A constant block has scale 0 and is exact. An empty run is no
// bytes.

inline constexpr std::int64_t q4k_default_block = 256;
inline constexpr std::int64_t q4k_largest_block = std::int64_t{1} << 24;

// Bytes of `count` encoded numbers. Errors: 22023 block_size outside 1..2^24, count negative; 54000 too many bytes.
std::int64_t q4k_bytes(std::int64_t count, std::int64_t block_size);

// Encodes numbers one by one, for callers that see them one by one (an aggregate over an ordered column).
class q4k_encoder {
 public:
  // Error 22023 unless block_size is 1..2^24.
  explicit q4k_encoder(std::int64_t block_size);
  // Error 22003, naming the position (from 1), for NaN and infinity; the encoder is unchanged then.
  void append(float value);
  // The bytes of all numbers appended. The encoder is empty afterwards and may be used again.
  std::vector<std::byte> finish();

 private:
  void encode_pending();

  std::size_t block_size_;
  std::size_t count_ = 0;
  std::vector<float> pending_;  // the block being filled
  std::vector<std::byte> bytes_;
};

std::vector<std::byte> quantize_q4k(span<const float> values, std::int64_t block_size, interrupt_checker& interrupts);

// Throws what dequantize_q4k would for a wrong length; call it before allocating original_length floats.
// Errors: 22023 original_length negative or block_size outside 1..2^24; 22P03 bytes of another length than
// q4k_bytes(original_length, block_size).
void check_q4k_length(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size);

// `out` takes original_length floats. Errors: as check_q4k_length; 22P03 a scale or minimum that is NaN or infinite.
void dequantize_q4k(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size, float* out,
                    interrupt_checker& interrupts);

}  // namespace hartonomous
