// Writes the numbers of a matrix as JSON.
#include <charconv>
#include <cmath>

#include "hartonomous/error.hpp"
#include "hartonomous/matrix_json.hpp"

namespace hartonomous {
namespace {

template <class T>
void append_number(std::string& out, T value) {
  if (!std::isfinite(value)) {
    throw error(sqlstate::numeric_value_out_of_range, "JSON cannot hold NaN or infinity");
  }
  char text[32];
  const std::to_chars_result end = std::to_chars(text, text + sizeof text, value);
  out.append(text, end.ptr);
  if (value == T{0} && std::signbit(value)) out += ".0";  // readers take -0 for an integer, which has no sign
}

}  // namespace

void append_json_number(std::string& out, double value) { append_number(out, value); }

void append_json_numbers(std::string& out, span<const float> values, interrupt_checker& interrupts) {
  constexpr std::size_t check_interval = 1 << 14;
  out += '[';
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (i % check_interval == 0) interrupts.check();
    if (i != 0) out += ',';
    append_number(out, values[i]);
  }
  out += ']';
}

void append_json_rows(std::string& out, span<const float> values, std::size_t rows, std::size_t columns,
                      interrupt_checker& interrupts) {
  out += '[';
  for (std::size_t row = 0; row < rows; ++row) {
    if (row != 0) out += ',';
    append_json_numbers(out, values.subspan(row * columns, columns), interrupts);
  }
  out += ']';
}

}  // namespace hartonomous
