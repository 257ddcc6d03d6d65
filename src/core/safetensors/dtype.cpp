// safetensors dtypes, sizes and the matrix view of a tensor.
#include <cstdint>
#include <limits>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/safetensors.hpp"

namespace hartonomous {

namespace {

constexpr safetensors_dtype dtypes[] = {
    {"BOOL", 8, format::I8},        {"U8", 8, format::I8},          {"I8", 8, format::I8},
    {"F8_E4M3", 8, format::I8},     {"F8_E5M2", 8, format::I8},     {"F8_E8M0", 8, format::I8},
    {"F8_E4M3FNUZ", 8, format::I8}, {"F8_E5M2FNUZ", 8, format::I8}, {"F4", 4, format::I8},
    {"F6_E2M3", 6, format::I8},     {"F6_E3M2", 6, format::I8},     {"U16", 16, format::I16},
    {"I16", 16, format::I16},       {"F16", 16, format::F16},       {"BF16", 16, format::BF16},
    {"U32", 32, format::I32},       {"I32", 32, format::I32},       {"F32", 32, format::F32},
    {"F64", 64, format::F64},       {"U64", 64, format::I64},       {"I64", 64, format::I64},
    {"C64", 64, format::I64},
};

constexpr std::uint64_t max_bytes = std::numeric_limits<std::int64_t>::max();

const safetensors_dtype& known_dtype(std::string_view name) {
  const safetensors_dtype* found = find_safetensors_dtype(name);
  if (found == nullptr) {
    throw error(sqlstate::invalid_binary_representation, "safetensors: unknown dtype " + show_name(name));
  }
  return *found;
}

}  // namespace

const safetensors_dtype* find_safetensors_dtype(std::string_view name) noexcept {
  for (const safetensors_dtype& dtype : dtypes) {
    if (name == dtype.name) return &dtype;
  }
  return nullptr;
}

format safetensors_storage_format(std::string_view dtype) { return known_dtype(dtype).storage; }

std::uint64_t safetensors_bytes(std::string_view dtype, const std::vector<std::uint64_t>& shape) {
  std::uint64_t bits = known_dtype(dtype).bits;
  // The bits of an element are multiplied last, like in the reference implementation: whether the product of the
  // dimensions overflows must not depend on the dtype.
  std::uint64_t count = 1;
  bool overflow = false;
  for (std::uint64_t const dim : shape) overflow = overflow || __builtin_mul_overflow(count, dim, &count);
  if (overflow || __builtin_mul_overflow(count, bits, &bits) || bits / 8 > max_bytes) {
    throw error(sqlstate::invalid_binary_representation, "safetensors: a tensor's size overflows");
  }
  if (bits % 8 != 0) {
    throw error(sqlstate::invalid_binary_representation, "safetensors: a tensor is not a whole number of bytes",
                "It has " + std::to_string(bits) + " bits.");
  }
  return bits / 8;
}

std::uint64_t safetensors_row_length(const std::vector<std::uint64_t>& shape) {
  if (shape.empty()) return 1;
  std::size_t first = shape.size() - 1;  // first dimension that is part of the row
  std::uint64_t row = shape[first];
  while (row < 32 && first > 1) {
    if (__builtin_mul_overflow(row, shape[--first], &row) || row > max_bytes) {
      throw error(sqlstate::program_limit_exceeded, "safetensors: a row is too long");
    }
  }
  return row;
}

}  // namespace hartonomous
