// safetensors files: reading, checking and writing their headers.
//
// Layout: a 64-bit little-endian length, a JSON object of that many bytes (name -> dtype, shape, data_offsets; and
// "__metadata__", strings to strings), then the tensors' data, back to back. Source: the format's documentation and the
// checks of its reference implementation.
//
// Errors: 22P03 for a malformed file, 54000 for one beyond the limits below, 22023 for a header that cannot be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"

namespace hartonomous {

inline constexpr std::uint64_t safetensors_max_header_bytes = 100000000;  // limit of the reference implementation
inline constexpr std::uint64_t safetensors_max_tensors = std::uint64_t{1} << 20;
inline constexpr std::uint64_t safetensors_max_rank = 64;

struct safetensors_tensor {
  std::string name;                  // valid UTF-8 without NUL
  std::string dtype;                 // the format's spelling, e.g. "BF16"
  std::vector<std::uint64_t> shape;  // PyTorch order, slowest first; empty for a scalar; a dimension may be 0
  std::uint64_t offset = 0;          // absolute, in the file
  std::uint64_t bytes = 0;           // 0 when a dimension is 0
};

using safetensors_metadata = std::vector<std::pair<std::string, std::string>>;  // in header order; values may hold NUL

struct safetensors_file {
  std::string header_json;                  // exactly as in the file, with the spaces that pad it
  std::vector<safetensors_tensor> tensors;  // by offset; those with the same offset (empty ones first) in header order
  safetensors_metadata metadata;            // the contents of "__metadata__"
};

// Makes the checks of the reference implementation: known dtypes, sizes that agree with the shapes, data without gaps
// or overlaps from the end of the header to the end of the file. Duplicate names are errors, too. Members of a tensor
// other than dtype, shape and data_offsets are skipped.
safetensors_file read_safetensors_header(byte_source& source, interrupt_checker& interrupts);
inline safetensors_file read_safetensors_header(byte_source& source) {
  no_interrupts interrupts;
  return read_safetensors_header(source, interrupts);
}

// The index of a checkpoint in several files (model.safetensors.index.json): {"weight_map": {tensor: file, ...}, ...}.
struct safetensors_index {
  std::vector<std::string> files;                            // ascending; names without a folder
  std::vector<std::pair<std::string, std::size_t>> tensors;  // name, index in `files`
};
// No value if the source is not a JSON text with a weight_map. Errors: 22P03 if it is malformed or names a file
// elsewhere than beside it; 54000 above safetensors_max_header_bytes.
std::optional<safetensors_index> read_safetensors_index(byte_source& source, interrupt_checker& interrupts);
// Error 22P03 unless each tensor of the index is in its file; `files` has one source for each of the index.
void check_safetensors_index(const safetensors_index& index, const std::vector<byte_source*>& files,
                             interrupt_checker& interrupts);

// The start of a file: length, JSON, and spaces up to a multiple of 8 bytes. Tensors lie back to back in the given
// order; only their name, dtype and shape are used. "__metadata__" comes first, and is left out if it is empty.
std::string make_safetensors_header(const std::vector<safetensors_tensor>& tensors,
                                    const safetensors_metadata& metadata);

// Whether this header (as in safetensors_file) describes exactly these tensors, back to back in the given order, so
// that an export can reproduce it byte for byte. False for a malformed header. `offset` and `bytes` are ignored.
bool header_matches(std::string_view header_json, const std::vector<safetensors_tensor>& tensors);

// The contents of "__metadata__" in a header (as in safetensors_file); empty for a malformed header, and for none.
safetensors_metadata metadata_of_header(std::string_view header_json);

struct safetensors_dtype {
  const char* name;
  std::uint32_t bits;  // of one element
  // How the weights are stored: floating-point dtypes that ggml has as themselves, all others as integers of the same
  // width whose bits keep the dtype's meaning (elements below 8 bits as their packed bytes).
  format storage;
};
// nullptr if the format has no dtype of that name.
const safetensors_dtype* find_safetensors_dtype(std::string_view name) noexcept;
// The same, but an unknown dtype is error 22P03.
format safetensors_storage_format(std::string_view dtype);

// Size of a tensor in bytes. Error 22P03 if the dtype is unknown, the size exceeds 63 bits or is not a whole number of
// bytes.
std::uint64_t safetensors_bytes(std::string_view dtype, const std::vector<std::uint64_t>& shape);

// The row length of a PyTorch tensor as a matrix: its last dimension, merged with those before it while the row is
// shorter than 32 and more than the first dimension remains. Thus [32000,4096] gives 4096, and a convolution [8,1,3,3]
// gives 9. For one dimension it is the length, for a scalar 1. It may be 0 if a dimension is. The unit is elements of
// the dtype: rows of elements below 8 bits need not be whole bytes. Error 54000 beyond 63 bits.
std::uint64_t safetensors_row_length(const std::vector<std::uint64_t>& shape);

}  // namespace hartonomous
