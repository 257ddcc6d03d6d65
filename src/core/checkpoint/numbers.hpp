// The types of numbers in checkpoints that are read as weights, and their values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hartonomous/format.hpp"

namespace hartonomous::checkpoint_detail {

// The 8-bit floats are those of OCP's specification (Open Compute Project, 8-bit Floating Point, 2023): e4m3 has no
// infinities and one NaN of each sign; e5m2 is laid out like IEEE 754. i8 counts as weights only with scales.
enum class number_type { f32, f16, bf16, e4m3, e5m2, i8 };

// By safetensors' name of the dtype; no value for any other.
std::optional<number_type> find_number_type(std::string_view dtype) noexcept;
std::size_t bytes_of_number(number_type type) noexcept;
inline bool is_float(number_type type) noexcept {
  return type == number_type::f32 || type == number_type::f16 || type == number_type::bf16;
}
// The format of a matrix of such numbers in the model. BF16 has each value of both 8-bit floats exactly.
format carried_as(number_type type) noexcept;
// The value of the number at `from`, little-endian.
float value_of(number_type type, const char* from) noexcept;

}  // namespace hartonomous::checkpoint_detail
