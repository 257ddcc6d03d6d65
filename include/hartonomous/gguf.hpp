// GGUF model files: reading and writing their headers, and converting their metadata to and from JSON.
//
// Layout: docs/manual/formats.md; source: the GGUF specification and ggml's reader and writer. Versions 2 and 3 share
// one layout; both are read and written. Everything on disk is little-endian.
//
// Errors: 22P03 for a malformed file, 22P02 for malformed metadata JSON, 54000 for a file beyond the limits below, and
// 22023 for a header that cannot be written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"

namespace hartonomous {

// The limits exist because a reader keeps the whole metadata in memory and PostgreSQL keeps it as one jsonb (at most 1
// GB as text).
inline constexpr std::uint64_t gguf_max_metadata_bytes = std::uint64_t{64} << 20;  // keys and values, as in the file
inline constexpr std::uint64_t gguf_max_keys = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gguf_max_tensors = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gguf_max_key_length = 65535;        // bytes; limit of the specification
inline constexpr std::uint64_t gguf_max_tensor_name_length = 255;  // bytes; ggml's own limit is 63

// Value types, with the ids used in files.
enum class gguf_type : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

// One metadata key. The value is kept exactly as in the file: `count` elements back to back, where a string element is
// preceded by its 64-bit length. A scalar has count 1 and `element` equal to `type`.
struct gguf_kv {
  std::string key;
  gguf_type type = gguf_type::u8;
  gguf_type element = gguf_type::u8;
  std::uint64_t count = 0;
  std::string payload;
};
bool operator==(const gguf_kv& a, const gguf_kv& b) noexcept;
inline bool operator!=(const gguf_kv& a, const gguf_kv& b) noexcept { return !(a == b); }

struct gguf_metadata {
  std::uint32_t version = 3;     // 2 or 3; kept so that a file is written back unchanged
  std::uint32_t alignment = 32;  // bytes, a power of two: general.alignment or its default
  std::vector<gguf_kv> kv;       // in file order

  const gguf_kv* find(std::string_view key) const noexcept;  // nullptr when absent
  // No value if the key is absent; error 22P03 if its value has another type. Integers of any width and signedness are
  // accepted if the value fits, as are both 32-bit and 64-bit floats.
  std::optional<std::string> get_string(std::string_view key) const;
  std::optional<std::uint64_t> get_uint(std::string_view key) const;
  std::optional<double> get_float(std::string_view key) const;
  std::optional<bool> get_bool(std::string_view key) const;
  std::optional<std::vector<std::string>> get_strings(std::string_view key) const;
  std::optional<std::vector<std::int64_t>> get_ints(std::string_view key) const;
  std::optional<std::vector<float>> get_floats(std::string_view key) const;
  // Replaces the key in its place, whatever its type was, or appends it. Keeps `alignment` up to date.
  void set_uint32(std::string_view key, std::uint32_t value);
  // The same for values of other types: string, bool, f32, and arrays of string, i32 and f32.
  void set_string(std::string_view key, std::string_view value);
  void set_bool(std::string_view key, bool value);
  void set_float(std::string_view key, float value);
  void set_strings(std::string_view key, const std::vector<std::string>& values);
  void set_ints(std::string_view key, const std::vector<std::int32_t>& values);
  void set_floats(std::string_view key, const std::vector<float>& values);
};

// ggml's types have numbers that grow. A type that came later than the table of formats is carried: as many bytes as
// there are up to the next tensor. Larger numbers than this one are taken for damage.
inline constexpr std::uint32_t gguf_largest_type = 255;

bool is_unknown_type(format type) noexcept;
// GGML_43, which stands in place of the name of a format.
std::string name_of_unknown_type(format type);
std::optional<format> unknown_type_named(std::string_view name);

struct gguf_tensor {
  std::string name;                 // valid UTF-8 without NUL
  std::vector<std::uint64_t> dims;  // up to 4, row length first (reverse of PyTorch); empty for one number
  format type = format::F32;
  std::uint64_t offset = 0;   // absolute, in the file
  std::uint64_t bytes = 0;    // without the padding that follows, unless the type is unknown
  std::uint64_t weights = 0;  // product of dims; 0 if one of them is 0
};

struct gguf_file : gguf_metadata {
  std::vector<gguf_tensor> tensors;  // in file order
  std::uint64_t data_start = 0;      // beyond file_size if there is neither a tensor nor padding
  std::uint64_t file_size = 0;
  // Whether gguf_writer, given this metadata, these tensors and their data, reproduces the file byte for byte: offsets
  // are the running sum of padded sizes, all padding is present and zero (also after the last tensor), and nothing
  // follows.
  bool canonical = false;
};

// What llama-gguf-split writes into each part of a model: split.no, split.count and split.tensors.count, integers of
// any width. Numbers count from 0; merged models have a count of 0.
struct gguf_split {
  std::uint64_t number = 0, count = 0;
  std::optional<std::uint64_t> tensors;  // of all parts together
};
// No value if the metadata does not have both a number and a count that are not negative.
std::optional<gguf_split> split_of(const gguf_metadata& metadata);
bool is_split_key(std::string_view key) noexcept;

// Reads and checks everything but the tensors' data. Like ggml, it is stricter than the specification (no nested
// arrays; bool bytes are 0 or 1). It is more lenient in two things that llama.cpp's converters never produce: there may
// be gaps between tensors, and they may be out of order.
gguf_file read_gguf_header(byte_source& source, interrupt_checker& interrupts);

// The metadata as JSON that survives jsonb, which neither keeps the order of object keys nor the spelling of numbers:
//   {"format":"gguf","version":3,"alignment":32,"kv":[
//     {"key":"general.architecture","type":"string","value":"llama"},
//     {"key":"tokenizer.ggml.scores","type":"array","element":"f32","value":[0,-1.5,"0x7fc00001"]}]}
// Types: u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool string array. Integers have all their digits; floats are the
// shortest decimal that reads back to the same bits, or, for NaN, infinities and -0, the bits as "0x" and 8 or 16
// digits; a string (or key) jsonb cannot hold (invalid UTF-8, NUL) is {"hex":"00ff"}.
std::string metadata_to_json(const gguf_metadata& metadata, interrupt_checker& interrupts);
// Replaces `metadata`, which is left unchanged on an error. Accepts only the shape above.
void metadata_from_json(std::string_view json, gguf_metadata& metadata, interrupt_checker& interrupts);

inline std::string metadata_to_json(const gguf_metadata& metadata) {
  no_interrupts interrupts;
  return metadata_to_json(metadata, interrupts);
}
inline void metadata_from_json(std::string_view json, gguf_metadata& metadata) {
  no_interrupts interrupts;
  metadata_from_json(json, metadata, interrupts);
}

// A tensor to be written.
struct gguf_tensor_spec {
  std::string name;
  std::vector<std::uint64_t> dims;  // as in gguf_tensor
  format type = format::F32;
  std::uint64_t bytes = 0;  // only of an unknown type
};

// Writes a GGUF file front to back: write_header(), then for every tensor in order begin_tensor(i), write() as often as
// needed, end_tensor(). Error 22023 for metadata or tensors that no reader would accept, for calls out of order, and if
// a tensor is given more or fewer bytes than its shape needs.
class gguf_writer {
 public:
  // Computes the layout of the file and writes nothing. `sink` must outlive the writer.
  gguf_writer(byte_sink& sink, gguf_metadata metadata, const std::vector<gguf_tensor_spec>& tensors);

  const std::vector<gguf_tensor>& tensors() const noexcept { return tensors_; }  // with their offsets
  std::uint64_t data_start() const noexcept { return data_start_; }
  std::uint64_t file_size() const noexcept { return file_size_; }

  void write_header();
  void begin_tensor(std::size_t index);
  void write(const void* from, std::size_t count);
  void end_tensor();
  bool complete() const noexcept { return header_written_ && !open_ && next_ == tensors_.size(); }

 private:
  void emit(const std::string& bytes);
  void pad_to(std::uint64_t offset);

  byte_sink& sink_;
  gguf_metadata metadata_;
  std::vector<gguf_tensor> tensors_;
  std::uint64_t data_start_ = 0;
  std::uint64_t file_size_ = 0;
  std::uint64_t position_ = 0;  // bytes written so far
  std::size_t next_ = 0;        // the tensor that is open or to be opened next
  bool header_written_ = false;
  bool open_ = false;
};

}  // namespace hartonomous
