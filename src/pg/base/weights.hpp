// The varlena behind SQL type `weights`: format, count, blocks exactly as in GGUF.
//
// Layout (little-endian hosts): 4 bytes varlena header, u16 format (ggml type id), u16 zero, u32 count, blocks.
// The last block of a run whose count no block divides is padded; `count` is what counts.
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

// The largest weights value: what one field can hold.
inline constexpr std::uint64_t max_weights_bytes = MaxAllocSize - sizeof(weights_varlena);

// The SQL type; may ereport.
Oid weights_type();

// A new value with room for its blocks (uninitialised); error 54000 when a field cannot hold it.
weights_varlena* new_weights(format f, std::uint64_t count);

// Checks a detoasted value's structure: known format, exact length; error 22P03 otherwise.
void check_weights(const weights_varlena* w);

// A detoasted, checked argument; frees the detoasted copy.
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

// What a value's first bytes say. Of a TOASTed value only its first chunk is read; error 22P03 as check_weights.
struct weights_header {
  format id;
  std::uint32_t count;
};
weights_header read_header(Datum datum);

// The weights as floats, to `out`, which takes w.count() floats.
void decode(const weights_view& w, float* out);

// The weights as floats: of an F32 value its own blocks, of any other a copy, within max_work_memory. No longer lived
// than the view.
class weights_floats {
 public:
  explicit weights_floats(const weights_view& w);
  span<const float> values() const noexcept { return values_; }

 private:
  buffer<float> decoded_;
  span<const float> values_;
};

// Encodes floats into a new value; `importance` is empty or as long as `values`.
weights_varlena* encode(format f, span<const float> values, span<const float> importance);

// The format an SQL text names; error 22023 with the list of known names otherwise.
format format_argument(text* name);

}  // namespace hartonomous::pg
