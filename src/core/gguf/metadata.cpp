// GGUF metadata: value types, checks of keys, lookups.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

#include "bytes/little_endian.hpp"
#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

namespace gguf_detail {

namespace {

struct type_entry {
  const char* name;
  std::size_t width;
};

// Indexed by gguf_type.
constexpr type_entry type_table[] = {
    {"u8", 1},   {"i8", 1},     {"u16", 2},   {"i16", 2}, {"u32", 4}, {"i32", 4}, {"f32", 4},
    {"bool", 1}, {"string", 0}, {"array", 0}, {"u64", 8}, {"i64", 8}, {"f64", 8},
};

}  // namespace

const char* type_name(std::uint32_t id) noexcept { return id < std::size(type_table) ? type_table[id].name : nullptr; }

bool find_type(std::string_view name, gguf_type& type) noexcept {
  for (std::uint32_t id = 0; id < std::size(type_table); ++id) {
    if (name == type_table[id].name) {
      type = static_cast<gguf_type>(id);
      return true;
    }
  }
  return false;
}

std::size_t type_width(gguf_type type) noexcept {
  const auto id = static_cast<std::uint32_t>(type);
  return id < std::size(type_table) ? type_table[id].width : 0;
}

std::uint64_t kv_bytes(const gguf_kv& kv) noexcept {
  return 8 + kv.key.size() + 4 + (kv.type == gguf_type::array ? 12 : 0) + kv.payload.size();
}

std::string_view string_cursor::next() {
  // Payloads are checked when they are created, and again here because they are a public field.
  std::uint64_t const length = rest_.size() >= 8 ? load_le<std::uint64_t>(rest_.data()) : 0;
  if (rest_.size() < 8 || length > rest_.size() - 8) {
    throw error(sqlstate::invalid_binary_representation, "GGUF: a string value ends early");
  }
  std::string_view const text = rest_.substr(8, length);
  rest_.remove_prefix(8 + length);
  return text;
}

void check_key(std::string_view key, const char* state) {
  if (key.empty()) throw error(state, "GGUF: a metadata key is empty");
  if (key.size() > gguf_max_key_length) {
    throw error(state, "GGUF: a metadata key is too long",
                "Key " + show_name(key) + " has " + std::to_string(key.size()) + " bytes; the limit is " +
                    std::to_string(gguf_max_key_length) + ".");
  }
}

namespace {

std::uint32_t checked_alignment(const gguf_kv& kv, const char* state) {
  if (kv.type != gguf_type::u32 || kv.payload.size() != 4) {
    throw error(state, "GGUF: general.alignment has the wrong type",
                std::string("Its type is ") + shown_type(kv.type) + " instead of u32.");
  }
  const auto alignment = load_le<std::uint32_t>(kv.payload.data());
  if (!is_power_of_two(alignment)) {
    throw error(state, "GGUF: general.alignment is not a power of two",
                "Its value is " + std::to_string(alignment) + ".");
  }
  return alignment;
}

}  // namespace

void check_payload(const gguf_kv& kv, const char* state) {
  const bool scalar = kv.type != gguf_type::array;
  bool good = type_name(kv.type) != nullptr && type_name(kv.element) != nullptr && kv.element != gguf_type::array;
  good = good && (!scalar || (kv.element == kv.type && kv.count == 1));
  if (good && kv.element == gguf_type::string) {
    string_cursor cursor(kv.payload);
    std::uint64_t used = 0;
    for (std::uint64_t i = 0; i < kv.count; ++i) used += 8 + cursor.next().size();
    good = used == kv.payload.size();
  } else if (good) {
    std::size_t const width = type_width(kv.element);
    good = kv.payload.size() % width == 0 && kv.payload.size() / width == kv.count;
  }
  if (!good) throw error(state, "GGUF: metadata key " + show_name(kv.key) + " has a malformed value");
}

void check_metadata(gguf_metadata& metadata, const char* state) {
  if (metadata.version != 2 && metadata.version != 3) {
    throw error(state, "GGUF: version " + std::to_string(metadata.version) + " is not supported",
                "Versions 2 and 3 are.");
  }
  std::vector<std::string_view> keys;
  keys.reserve(metadata.kv.size());
  for (const gguf_kv& kv : metadata.kv) {
    check_key(kv.key, state);
    keys.push_back(kv.key);
  }
  std::sort(keys.begin(), keys.end());
  const auto twin = std::adjacent_find(keys.begin(), keys.end());
  if (twin != keys.end()) throw error(state, "GGUF: duplicate metadata key " + show_name(*twin));
  const gguf_kv* alignment = metadata.find("general.alignment");
  metadata.alignment = alignment == nullptr ? 32 : checked_alignment(*alignment, state);
}

}  // namespace gguf_detail

using gguf_detail::shown_type;
using gguf_detail::type_width;

namespace {

[[noreturn]] void wrong_type(const gguf_kv& kv, const char* wanted) {
  const bool array = kv.type == gguf_type::array;
  throw error(sqlstate::invalid_binary_representation,
              "GGUF: metadata key " + show_name(kv.key) + " has the wrong type",
              std::string("Its type is ") + (array ? "array of " : "") + shown_type(kv.element) + " instead of " +
                  wanted + ".");
}

// The key's value if it is an array (or a scalar) whose element type satisfies `fits`; nullptr if the key is absent.
template <class Fits>
const gguf_kv* find_value(const gguf_metadata& metadata, std::string_view key, bool array, const char* wanted,
                          Fits fits) {
  const gguf_kv* kv = metadata.find(key);
  if (kv == nullptr) return nullptr;
  std::size_t const width = type_width(kv->element);
  // Strings are checked as they are read.
  const bool whole = width == 0 || (kv->payload.size() % width == 0 && kv->payload.size() / width == kv->count);
  if ((kv->type == gguf_type::array) != array || !fits(kv->element) || !whole || (!array && kv->count != 1)) {
    wrong_type(*kv, wanted);
  }
  return kv;
}

bool is_integer(gguf_type type) noexcept {
  return type <= gguf_type::i32 || type == gguf_type::u64 || type == gguf_type::i64;
}
bool is_float(gguf_type type) noexcept { return type == gguf_type::f32 || type == gguf_type::f64; }
bool is_string(gguf_type type) noexcept { return type == gguf_type::string; }

// An integer as 64 bits in two's complement; `negative` distinguishes i64 -1 from the maximum of u64.
std::uint64_t load_integer(gguf_type type, const char* from, bool& negative) noexcept {
  std::int64_t value = 0;
  switch (type) {
    case gguf_type::i8:
      value = load_le<std::int8_t>(from);  // NOLINT(bugprone-signed-char-misuse): a number
      break;
    case gguf_type::i16:
      value = load_le<std::int16_t>(from);
      break;
    case gguf_type::i32:
      value = load_le<std::int32_t>(from);
      break;
    case gguf_type::i64:
      value = load_le<std::int64_t>(from);
      break;
    case gguf_type::u8:
      negative = false;
      return load_le<std::uint8_t>(from);
    case gguf_type::u16:
      negative = false;
      return load_le<std::uint16_t>(from);
    case gguf_type::u32:
      negative = false;
      return load_le<std::uint32_t>(from);
    default:
      negative = false;
      return load_le<std::uint64_t>(from);
  }
  negative = value < 0;
  return static_cast<std::uint64_t>(value);
}

double load_float(gguf_type type, const char* from) noexcept {
  if (type == gguf_type::f32) {
    const auto bits = load_le<std::uint32_t>(from);
    float value = 0;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  const auto bits = load_le<std::uint64_t>(from);
  double value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

bool operator==(const gguf_kv& a, const gguf_kv& b) noexcept {
  return a.key == b.key && a.type == b.type && a.element == b.element && a.count == b.count && a.payload == b.payload;
}

const gguf_kv* gguf_metadata::find(std::string_view key) const noexcept {
  for (const gguf_kv& entry : kv) {
    if (entry.key == key) return &entry;
  }
  return nullptr;
}

std::optional<std::string> gguf_metadata::get_string(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, false, "string", is_string);
  if (found == nullptr) return std::nullopt;
  return std::string(gguf_detail::string_cursor(found->payload).next());
}

std::optional<std::uint64_t> gguf_metadata::get_uint(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, false, "a non-negative integer", is_integer);
  if (found == nullptr) return std::nullopt;
  bool negative = false;
  std::uint64_t const value = load_integer(found->element, found->payload.data(), negative);
  if (negative) {
    throw error(sqlstate::invalid_binary_representation, "GGUF: metadata key " + show_name(key) + " is negative");
  }
  return value;
}

std::optional<double> gguf_metadata::get_float(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, false, "a float", is_float);
  if (found == nullptr) return std::nullopt;
  return load_float(found->element, found->payload.data());
}

std::optional<bool> gguf_metadata::get_bool(std::string_view key) const {
  const gguf_kv* found =
      find_value(*this, key, false, "bool", [](gguf_type type) { return type == gguf_type::boolean; });
  if (found == nullptr) return std::nullopt;
  return found->payload[0] != 0;
}

std::optional<std::vector<std::string>> gguf_metadata::get_strings(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, true, "an array of string", is_string);
  if (found == nullptr) return std::nullopt;
  std::vector<std::string> values;
  gguf_detail::string_cursor cursor(found->payload);
  for (std::uint64_t i = 0; i < found->count; ++i) values.emplace_back(cursor.next());
  return values;
}

std::optional<std::vector<std::int64_t>> gguf_metadata::get_ints(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, true, "an array of integers", is_integer);
  if (found == nullptr) return std::nullopt;
  std::vector<std::int64_t> values;
  values.reserve(found->count);
  std::size_t const width = type_width(found->element);
  for (std::uint64_t i = 0; i < found->count; ++i) {
    bool negative = false;
    std::uint64_t const value = load_integer(found->element, found->payload.data() + i * width, negative);
    if (!negative && value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      throw error(sqlstate::invalid_binary_representation,
                  "GGUF: metadata key " + show_name(key) + " holds an integer beyond 63 bits");
    }
    values.push_back(static_cast<std::int64_t>(value));
  }
  return values;
}

std::optional<std::vector<float>> gguf_metadata::get_floats(std::string_view key) const {
  const gguf_kv* found = find_value(*this, key, true, "an array of floats", is_float);
  if (found == nullptr) return std::nullopt;
  std::vector<float> values;
  values.reserve(found->count);
  std::size_t const width = type_width(found->element);
  for (std::uint64_t i = 0; i < found->count; ++i) {
    values.push_back(static_cast<float>(load_float(found->element, found->payload.data() + i * width)));
  }
  return values;
}

bool is_split_key(std::string_view key) noexcept {
  return key == "split.no" || key == "split.count" || key == "split.tensors.count";
}

std::optional<gguf_split> split_of(const gguf_metadata& metadata) {
  const auto number = [&](std::string_view key) -> std::optional<std::uint64_t> {
    const gguf_kv* found = metadata.find(key);
    if (found == nullptr || !is_integer(found->type)) return std::nullopt;
    bool negative = false;
    std::uint64_t const value = load_integer(found->element, found->payload.data(), negative);
    return negative ? std::nullopt : std::optional(value);
  };
  const auto part = number("split.no");
  const auto count = number("split.count");
  if (!part || !count) return std::nullopt;
  return gguf_split{*part, *count, number("split.tensors.count")};
}

}  // namespace hartonomous
