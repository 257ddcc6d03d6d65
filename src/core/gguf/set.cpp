// GGUF metadata: setting keys.
#include <algorithm>
#include <cstdint>

#include "bytes/little_endian.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

namespace {

// An entry for a scalar; callers change count and type for an array.
gguf_kv new_entry(std::string_view key, gguf_type type) {
  gguf_detail::check_key(key, sqlstate::invalid_parameter_value);
  gguf_kv entry;
  entry.key = key;
  entry.type = entry.element = type;
  entry.count = 1;
  return entry;
}

gguf_kv new_array(std::string_view key, gguf_type element, std::size_t count) {
  gguf_kv entry = new_entry(key, element);
  entry.type = gguf_type::array;
  entry.count = count;
  return entry;
}

void append_string(std::string& payload, std::string_view value) {
  append_le(payload, value.size(), 8);
  payload += value;
}

void put(gguf_metadata& metadata, gguf_kv entry) {
  std::vector<gguf_kv>& kv = metadata.kv;
  const auto place = std::find_if(kv.begin(), kv.end(), [&](const gguf_kv& old) { return old.key == entry.key; });
  if (place == kv.end()) {
    kv.push_back(std::move(entry));
  } else {
    *place = std::move(entry);
  }
}

}  // namespace

void gguf_metadata::set_uint32(std::string_view key, std::uint32_t value) {
  gguf_kv entry = new_entry(key, gguf_type::u32);
  const bool is_alignment = key == "general.alignment";
  if (is_alignment && !gguf_detail::is_power_of_two(value)) {
    throw error(sqlstate::invalid_parameter_value, "GGUF: general.alignment is not a power of two",
                "The value given is " + std::to_string(value) + ".");
  }
  append_le(entry.payload, value, 4);
  put(*this, std::move(entry));
  if (is_alignment) alignment = value;
}

void gguf_metadata::set_string(std::string_view key, std::string_view value) {
  gguf_kv entry = new_entry(key, gguf_type::string);
  append_string(entry.payload, value);
  put(*this, std::move(entry));
}

void gguf_metadata::set_bool(std::string_view key, bool value) {
  gguf_kv entry = new_entry(key, gguf_type::boolean);
  append_le(entry.payload, value ? 1 : 0, 1);
  put(*this, std::move(entry));
}

void gguf_metadata::set_float(std::string_view key, float value) {
  gguf_kv entry = new_entry(key, gguf_type::f32);
  append_le(entry.payload, half_detail::bits_of(value), 4);
  put(*this, std::move(entry));
}

void gguf_metadata::set_strings(std::string_view key, const std::vector<std::string>& values) {
  gguf_kv entry = new_array(key, gguf_type::string, values.size());
  for (const std::string& value : values) append_string(entry.payload, value);
  put(*this, std::move(entry));
}

void gguf_metadata::set_ints(std::string_view key, const std::vector<std::int32_t>& values) {
  gguf_kv entry = new_array(key, gguf_type::i32, values.size());
  for (std::int32_t const value : values) append_le(entry.payload, static_cast<std::uint32_t>(value), 4);
  put(*this, std::move(entry));
}

void gguf_metadata::set_floats(std::string_view key, const std::vector<float>& values) {
  gguf_kv entry = new_array(key, gguf_type::f32, values.size());
  for (const float value : values) append_le(entry.payload, half_detail::bits_of(value), 4);
  put(*this, std::move(entry));
}

}  // namespace hartonomous
