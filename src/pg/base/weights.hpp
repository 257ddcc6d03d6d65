// The varlena behind the SQL type `weights`: format, count, and blocks exactly as in GGUF.
//
// Layout (little-endian hosts): 4 bytes varlena header, u16 format (ggml type id), u16 zero, u32 count, blocks.
// If `count` is not a multiple of the block size, the last block is padded; the padding does not belong to the value.
#pragma once

#include "pg/base/memory.hpp"

#include <cstdint>

#include "hartonomous/format.hpp"

namespace hartonomous::pg {

struct weights_varlena {
  std::int32_t varlena_header;  // SET_VARSIZE
  std::uint16_t format_id;
  std::uint16_t reserved;  // zero
  std::uint32_t count;
  // blocks follow
  std::byte* blocks() noexcept { return reinterpret_cast<std::byte*>(this + 1); }
  const std::byte* blocks() const noexcept { return reinterpret_cast<const std::byte*>(this + 1); }
};
static_assert(sizeof(weights_varlena) == 12);

// The size of the largest weights value, given by the limit of a field.
inline constexpr std::uint64_t max_weights_bytes = MaxAllocSize - sizeof(weights_varlena);

// The oid of the SQL type; may ereport.
Oid weights_type();

// A new value with room for its uninitialized blocks; raises 54000 if it does not fit into a field.
weights_varlena* new_weights(format f, std::uint64_t count);

// Checks the structure of a detoasted value, known format and exact length; raises 22P03 otherwise.
void check_weights(const weights_varlena* w);

// A detoasted and checked argument; frees the detoasted copy.
class weights_view {
 public:
  explicit weights_view(Datum datum);
  weights_view(const weights_view&) = delete;
  weights_view& operator=(const weights_view&) = delete;
  ~weights_view() {
    if (static_cast<const void*>(value_) != original_) pfree(const_cast<weights_varlena*>(value_));
  }
  const format_traits& traits() const noexcept { return traits_of(id()); }
  format id() const noexcept { return static_cast<format>(value_->format_id); }
  std::size_t count() const noexcept { return value_->count; }
  span<const std::byte> blocks() const noexcept {
    return {value_->blocks(), VARSIZE(value_) - sizeof(weights_varlena)};
  }
  // Everything after the varlena header.
  span<const std::byte> bytes() const noexcept {
    return {reinterpret_cast<const std::byte*>(value_) + VARHDRSZ, VARSIZE(value_) - VARHDRSZ};
  }

 private:
  const void* original_;
  const weights_varlena* value_;
};

// What the header of a value says. Of a TOASTed value only the first chunk is read; raises 22P03 like check_weights.
struct weights_header {
  format id;
  std::uint32_t count;
};
weights_header read_header(Datum datum);

// Decodes the weights to `out`, which has room for w.count() floats.
void decode(const weights_view& w, float* out);

// Of weights that begin at place `at` of a tensor, decodes those in the places from `first` to `end` to `out`, which
// begins with place `first` and is left as it is elsewhere.
void decode_between(const weights_view& w, std::uint64_t at, std::uint64_t first, std::uint64_t end, float* out);

// The weights as floats: an F32 value's own blocks, otherwise a decoded copy within max_work_memory. Must not outlive
// the view.
class weights_floats {
 public:
  explicit weights_floats(const weights_view& w);
  span<const float> values() const noexcept { return values_; }

 private:
  buffer<float> decoded_;
  span<const float> values_;
};

// Encodes floats into a new value; `importance` is empty or has as many elements as `values`.
weights_varlena* encode(format f, span<const float> values, span<const float> importance);

// The format that an SQL text names; raises 22023 with the list of known names otherwise.
format format_argument(text* name);

}  // namespace hartonomous::pg
