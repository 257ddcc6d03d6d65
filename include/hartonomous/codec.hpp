// Weights to blocks and back: the codecs of ggml's number formats (hartonomous/format.hpp).
//
// Quantizing gives the very bytes of llama.cpp's portable build, with and without importance, for every format it
// writes; dequantizing gives its very floats. Both hold on any machine with IEEE arithmetic, provided the compiler
// neither contracts a*b+c nor reorders sums (-ffp-contract=off, no -ffast-math).
//
// Source of layouts and of the way scales are chosen: ggml's format definitions (docs/manual/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// ---- for everyone ----------------------------------------------------------------------------------------------

// Decodes `count` weights. `blocks` is bytes_of(f, count) bytes, of any alignment; `out` takes `count` floats.
//
// Any bit pattern decodes: a scale that is NaN or infinite gives weights that are.
// Errors: 0A000 the format is not readable; 22P03 blocks.size() is not bytes_of(f, count).
void dequantize(format f, span<const std::byte> blocks, std::size_t count, float* out, interrupt_checker& interrupts);

// The checks of dequantize() alone.
void check_run(format f, span<const std::byte> blocks, std::size_t count);

// Encodes one row of a matrix (or any run of weights to be treated as one). `out` takes bytes_of(f, values.size())
// bytes, of any alignment. When an error is thrown its contents are undefined.
//
// `importance` is empty, or one number >= 0 per value: how much an error of that weight matters. Only ratios within
// the row count. Q8_0 and the plain number formats ignore it. A block whose importance is zero throughout is encoded
// as without importance. With importance Q4_0, Q4_1, Q5_0 and Q5_1 use the mean square of the *whole* row: pass rows.
//
// A last block that is not full is padded with zeros of zero importance.
// NaN and infinity are kept by F32, F16 and BF16 and refused by all others.
//
// Errors (positions count from 1): 0A000 the format is not writable; 2202E importance of another length than values;
// 22023 importance NaN, infinite or negative; 22003 a value the format cannot hold, or a block whose scale overflows
// half precision.
void quantize(format f, span<const float> values, span<const float> importance, std::byte* out,
              interrupt_checker& interrupts);

// ---- for those who add codecs ----------------------------------------------------------------------------------

// One format on one instruction set. Blocks may have any alignment; floats are aligned as floats.
struct codec {
  format id;

  void (*dequantize_blocks)(const std::byte* blocks, float* out, std::size_t count);

  // `in` is count * block_weights finite values; `importance` as many, or null. `row_mean_square` is the mean of the
  // squares of the row these blocks belong to (0 when importance is null): passing it in lets a row be encoded
  // piece by piece.
  void (*quantize_blocks)(const float* in, const float* importance, float row_mean_square, std::byte* out,
                          std::size_t count);

  // Where a block keeps its half precision scales: a block is sound only when these are finite.
  std::uint32_t scale_count;
  std::uint32_t scale_offsets[2];
};

// Portable C++ that reads like the format's page: the reference that all vector code must agree with to the bit.
// nullptr when no codec knows the format.
const codec* find_scalar_codec(format f) noexcept;

// The codec for the instruction set in use (hartonomous/simd.hpp).
const codec* find_codec(format f) noexcept;

}  // namespace hartonomous
