// The number formats of weights: ggml's tensor types, by ggml's own ids (never renumbered).
//
// Source: ggml's type list and block layouts (docs/manual/formats.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/span.hpp"

namespace hartonomous {

enum class format : std::uint32_t {
  F32 = 0,
  F16 = 1,
  Q4_0 = 2,
  Q4_1 = 3,
  Q5_0 = 6,
  Q5_1 = 7,
  Q8_0 = 8,
  Q8_1 = 9,
  Q2_K = 10,
  Q3_K = 11,
  Q4_K = 12,
  Q5_K = 13,
  Q6_K = 14,
  Q8_K = 15,
  IQ2_XXS = 16,
  IQ2_XS = 17,
  IQ3_XXS = 18,
  IQ1_S = 19,
  IQ4_NL = 20,
  IQ3_S = 21,
  IQ2_S = 22,
  IQ4_XS = 23,
  I8 = 24,
  I16 = 25,
  I32 = 26,
  I64 = 27,
  F64 = 28,
  IQ1_M = 29,
  BF16 = 30,
  TQ1_0 = 34,
  TQ2_0 = 35,
  MXFP4 = 39,
  NVFP4 = 40,
  Q1_0 = 41,
  Q2_0 = 42,
};

struct format_traits {
  format id;
  const char* name;             // ggml's spelling, e.g. "Q4_K"
  std::uint32_t block_weights;  // weights in a block; 1 for plain number formats
  std::uint32_t block_bytes;
  bool readable;  // dequantize() supports it; otherwise blocks are only stored and copied
  bool writable;  // quantize() supports it
};

// All of them, in the order of their ids.
span<const format_traits> all_formats() noexcept;
// The formats that dequantize() supports, which are also those that quantize() supports.
std::vector<format> readable_formats();

// nullptr if no format has this id or (case-insensitive) name.
const format_traits* find_format(std::uint32_t id) noexcept;
const format_traits* find_format(const char* name, std::size_t length) noexcept;
const format_traits& traits_of(format f) noexcept;

// Bytes of `count` weights, with the last block padded. Error 54000 if the number exceeds 63 bits.
std::uint64_t bytes_of(format f, std::uint64_t count);

}  // namespace hartonomous
