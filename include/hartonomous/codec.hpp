// Conversion between weights and blocks: the codecs of ggml's number formats (hartonomous/format.hpp).
//
// For every format that llama.cpp writes, quantizing gives the same bytes as its portable build, with and without
// importance, and dequantizing gives the same floats. This holds on any machine with IEEE arithmetic, provided that the
// compiler neither contracts a*b+c nor reorders sums (-ffp-contract=off, no -ffast-math).
//
// Source for the layouts and the choice of scales: ggml's format definitions (docs/manual/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// ---- for everyone ----------------------------------------------------------------------------------------------

// Decodes `count` weights. `blocks` has bytes_of(f, count) bytes at any alignment; `out` has room for `count` floats.
//
// Any bit pattern can be decoded: a scale that is NaN or infinite gives weights that are NaN or infinite.
// Errors: 0A000 if the format is not readable; 22P03 if blocks.size() is not bytes_of(f, count).
void dequantize(format f, span<const std::byte> blocks, std::size_t count, float* out, interrupt_checker& interrupts);

// Makes the checks of dequantize() without decoding.
void check_run(format f, span<const std::byte> blocks, std::size_t count);

// Encodes one row of a matrix (or any other sequence of weights, which is then treated as a row). `out` has room for
// bytes_of(f, values.size()) bytes at any alignment; after an error its contents are undefined.
//
// `importance` is empty or has one number >= 0 per value, which says how much an error in that weight matters. Only
// ratios within the row matter. Formats that search no scale, such as Q8_0, ignore it. A block whose importance is all
// zero is encoded as if there were none. With importance, Q4_0, Q4_1, Q5_0 and Q5_1 use the mean square of the *whole*
// row, so callers must pass whole rows.
//
// An incomplete last block is padded with zeros of zero importance.
// F32, F16 and BF16 store NaN and infinity; all other formats refuse them.
//
// Errors (positions count from 1): 0A000 if the format is not writable; 2202E if importance and values differ in
// length; 22023 if an importance is NaN, infinite or negative, or missing where needed; 22003 if the format cannot hold
// a value or the scale of a block overflows half precision.
void quantize(format f, span<const float> values, span<const float> importance, std::byte* out,
              interrupt_checker& interrupts);

// Whether a format has so few levels that weights are not encoded without importance, as by ggml.
bool needs_importance(format f) noexcept;

// ---- for authors of codecs -------------------------------------------------------------------------------------

// One format on one instruction set. Blocks may have any alignment; floats are aligned as floats.
struct codec {
  format id;

  void (*dequantize_blocks)(const std::byte* blocks, float* out, std::size_t count);

  // `in` has count * block_weights finite values; `importance` has as many or is null. `row_mean_square` is the mean of
  // the squares of the whole row (0 if importance is null), so that a row can be encoded in several calls.
  void (*quantize_blocks)(const float* in, const float* importance, float row_mean_square, std::byte* out,
                          std::size_t count);

  // Where a block stores its half precision scales. A block is valid only if these are finite.
  std::uint32_t scale_count;
  std::uint32_t scale_offsets[2];
};

// Portable C++ that follows the description of the format: the reference which all vector code must match bit for bit.
// nullptr if there is no codec for the format.
const codec* find_scalar_codec(format f) noexcept;

// The codec for the instruction set in use (hartonomous/simd.hpp).
const codec* find_codec(format f) noexcept;

}  // namespace hartonomous
