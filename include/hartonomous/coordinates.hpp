// Compact encodings of an atom's position, and of arrays of coordinates: the codecs of the original design.
//
// These are for coordinates; weights use hartonomous/codec.hpp (ggml's Q4_K has a different layout). Multi-byte numbers
// are little-endian. NaN and infinity always raise error 22003.
//
// Range of positions: X and Y in [0, 100], Z (importance) in [-10, 10].
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

// Error 22003, naming the axis and the value, if a coordinate is out of range.
void check_in_space(const point& p);

// ---- points ----------------------------------------------------------------------------------------------------

using point_q8 = std::array<std::byte, 3>;
using point_f16 = std::array<std::byte, 6>;
using point_f32 = std::array<std::byte, 12>;

// One byte per coordinate: the range of the axis is mapped onto 0..255 and rounded half to even. The error is at most
// half a step: 0.2 in X and Y, 0.04 in Z. Error 22003 if a coordinate is out of range.
point_q8 quantize_q8(float x, float y, float z);
point dequantize_q8(const point_q8& bytes) noexcept;

// These take any finite point. For F16, magnitudes of 65520 and more are error 22003, too.
point_f16 encode_point_f16(const point& p);
point decode_point_f16(const point_f16& bytes) noexcept;
point_f32 encode_point_f32(const point& p);
point decode_point_f32(const point_f32& bytes) noexcept;

// ---- arrays of coordinates, four bits each ---------------------------------------------------------------------
//
// Each block of block_size numbers (the last may be shorter) has a float4 scale, a float4 minimum, and one nibble per
// number: the first of two is in the high nibble, and an odd number of them is followed by a zero nibble. x = minimum +
// q * scale with scale = (max - min) / 15, so the error is at most half a scale. A constant block has scale 0 and is
// exact. An empty array takes no bytes.

inline constexpr std::int64_t q4k_default_block = 256;
inline constexpr std::int64_t q4k_largest_block = std::int64_t{1} << 24;

// Size in bytes of `count` encoded numbers. Errors: 22023 if block_size is outside 1..2^24 or count is negative; 54000
// if the size is too large.
std::int64_t q4k_bytes(std::int64_t count, std::int64_t block_size);

// Encodes numbers one at a time, for callers that get them so (an aggregate over an ordered column).
class q4k_encoder {
 public:
  // Error 22023 if block_size is outside 1..2^24.
  explicit q4k_encoder(std::int64_t block_size);
  // Error 22003, naming the position (from 1), for NaN and infinity; the encoder is then unchanged.
  void append(float value);
  // Returns the encoding of all numbers appended. The encoder is empty afterwards and can be used again.
  std::vector<std::byte> finish();

 private:
  void encode_pending();

  std::size_t block_size_;
  std::size_t count_ = 0;
  std::vector<float> pending_;  // the block being filled
  std::vector<std::byte> bytes_;
};

std::vector<std::byte> quantize_q4k(span<const float> values, std::int64_t block_size, interrupt_checker& interrupts);

// Throws the errors of dequantize_q4k for a wrong length; call it before allocating original_length floats.
// Errors: 22023 if original_length is negative or block_size outside 1..2^24; 22P03 if the length of `bytes` is not
// q4k_bytes(original_length, block_size).
void check_q4k_length(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size);

// `out` has room for original_length floats. Errors: those of check_q4k_length; 22P03 if a scale or minimum is NaN or
// infinite.
void dequantize_q4k(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size, float* out,
                    interrupt_checker& interrupts);

}  // namespace hartonomous
