// safetensors files: reading, checking and writing their header.
//
// Layout: a 64-bit little-endian length, a JSON object of that many bytes (name -> dtype, shape, data_offsets; and
// "__metadata__", strings to strings), then the tensors' data, back to back. Source: the format's own description and
// the checks of its reference implementation.
//
// Errors: a malformed file is 22P03, one beyond the limits below 54000, a header that cannot be written 22023.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"

namespace hartonomous {

inline constexpr std::uint64_t safetensors_max_header_bytes = 100000000;  // the reference's limit
inline constexpr std::uint64_t safetensors_max_tensors = std::uint64_t{1} << 20;
inline constexpr std::uint64_t safetensors_max_rank = 64;

struct safetensors_tensor {
  std::string name;                  // valid UTF-8 without NUL
  std::string dtype;                 // the format's spelling, e.g. "BF16"
  std::vector<std::uint64_t> shape;  // PyTorch order, slowest first; empty for a scalar; a dimension may be 0
  std::uint64_t offset = 0;          // absolute, in the file
  std::uint64_t bytes = 0;           // 0 when a dimension is 0
};

using safetensors_metadata = std::vector<std::pair<std::string, std::string>>;  // header order; values may hold NUL

struct safetensors_file {
  std::string header_json;                  // exactly as in the file, with the spaces that pad it
  std::vector<safetensors_tensor> tensors;  // by offset; those of the same offset (empty ones first) in header order
  safetensors_metadata metadata;            // of "__metadata__"
};

// Checks what the reference implementation checks: known dtypes, sizes that agree with the shapes, data without
// holes or overlaps from the end of the header to the end of the file. Duplicate names are errors too. Members of a
// tensor other than dtype, shape and data_offsets are skipped.
safetensors_file read_safetensors_header(byte_source& source, interrupt_checker& interrupts);
inline safetensors_file read_safetensors_header(byte_source& source) {
  no_interrupts interrupts;
  return read_safetensors_header(source, interrupts);
}

// The start of a file: length, JSON, spaces up to a multiple of 8 bytes. Tensors lie back to back in the order given;
// only their name, dtype and shape are used. "__metadata__" comes first, and only when it is not empty.
std::string make_safetensors_header(const std::vector<safetensors_tensor>& tensors,
                                    const safetensors_metadata& metadata);

// Does this header (as in safetensors_file) describe exactly these tensors, back to back in the order given? Then an
// export can write it again byte for byte. False for a malformed header. `offset` and `bytes` are not looked at.
bool header_matches(std::string_view header_json, const std::vector<safetensors_tensor>& tensors);

struct safetensors_dtype {
  const char* name;
  std::uint32_t bits;  // of one element
  // How the weights are stored: floats ggml knows as themselves, everything else as integers of the same width whose
  // bits mean what the dtype says (elements below 8 bits: as their packed bytes).
  format storage;
};
// nullptr when the name is not one of the format's dtypes.
const safetensors_dtype* find_safetensors_dtype(std::string_view name) noexcept;
// The same, where an unknown dtype is error 22P03.
format safetensors_storage_format(std::string_view dtype);

// Bytes of a tensor. Errors 22P03: unknown dtype, a size beyond 63 bits, not a whole number of bytes.
std::uint64_t safetensors_bytes(std::string_view dtype, const std::vector<std::uint64_t>& shape);

// Row length of the matrix a PyTorch tensor is seen as: its last dimension, merged with those before it while the row
// is shorter than 32 and more than the first dimension remains: [32000,4096] -> 4096, a convolution [8,1,3,3] -> 9.
// 1-D: its length; scalar: 1. May be 0 when a dimension is. Counted in the dtype's elements: rows of elements below
// 8 bits are not whole bytes in general. Error 54000 beyond 63 bits.
std::uint64_t safetensors_row_length(const std::vector<std::uint64_t>& shape);

}  // namespace hartonomous
