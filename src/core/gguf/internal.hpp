// Shared parts of the GGUF reader, the writer and the JSON conversion.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::gguf_detail {

inline constexpr std::uint64_t fixed_header_bytes = 24;  // magic, version, two counts
inline constexpr std::uint64_t max_offset = (std::uint64_t{1} << 63) - 1;

// The name of a type in JSON and messages; nullptr if the id is not a type.
const char* type_name(std::uint32_t id) noexcept;
inline const char* type_name(gguf_type type) noexcept { return type_name(static_cast<std::uint32_t>(type)); }
// The same for messages; never nullptr.
inline const char* shown_type(gguf_type type) noexcept {
  return type_name(type) != nullptr ? type_name(type) : "unknown";
}
bool find_type(std::string_view name, gguf_type& type) noexcept;
// Bytes of one element; 0 for strings and arrays.
std::size_t type_width(gguf_type type) noexcept;

inline bool is_power_of_two(std::uint64_t n) noexcept { return n != 0 && (n & (n - 1)) == 0; }
// `alignment` is a power of two and offset + alignment does not overflow.
inline std::uint64_t round_up(std::uint64_t offset, std::uint64_t alignment) noexcept {
  return (offset + alignment - 1) & ~(alignment - 1);
}

// Bytes of a key and its value in the file.
std::uint64_t kv_bytes(const gguf_kv& kv) noexcept;
// Bytes of a tensor's entry in the header.
std::uint64_t tensor_info_bytes(const gguf_tensor& tensor) noexcept;

// Iterates over the string elements of a payload.
class string_cursor {
 public:
  explicit string_cursor(std::string_view payload) noexcept : rest_(payload) {}
  std::string_view next();

 private:
  std::string_view rest_;
};

// The checks below throw error(state, ...): 22P03 for a file, 22P02 for JSON, 22023 for the writer's arguments.

// Checks the version, the keys (empty, too long, duplicate) and general.alignment; sets metadata.alignment.
void check_metadata(gguf_metadata& metadata, const char* state);
void check_key(std::string_view key, const char* state);
// Checks that types, count and payload of a value agree: otherwise everything after it in a written file would be
// misread.
void check_payload(const gguf_kv& kv, const char* state);
// Checks the name and dims of a tensor and sets its weights and bytes.
void measure_tensor(gguf_tensor& tensor, const char* state);
void check_tensor_names(const std::vector<gguf_tensor>& tensors, const char* state);

}  // namespace hartonomous::gguf_detail
