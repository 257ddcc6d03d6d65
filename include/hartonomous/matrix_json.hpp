// Matrices as JSON text: one flat array of numbers, or an array of rows. No document tree is built: numbers are parsed
// directly into the matrix.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

struct json_matrix {
  std::vector<float> values;  // row-major
  std::size_t rows = 0;       // 1 when flat
  std::size_t columns = 0;
  bool nested = false;  // an array of rows
};

// Reads at most `limit` numbers; `expected` is an estimate of their number, for which memory is reserved.
//
// Errors: 22P02 if the text is not JSON or is anything but numbers in one or two levels of arrays; 22023 if rows have
// different lengths; 22003 if a number does not fit a float; 54000 if there are more than `limit` numbers.
json_matrix parse_json_matrix(std::string_view json, std::size_t limit, std::size_t expected,
                              interrupt_checker& interrupts);

// Appends a matrix to `out`, as an array of rows or as one flat array. Each number has the fewest digits that read back
// as the same float. Error 22003 on NaN and infinity, which JSON does not have.
void append_json_rows(std::string& out, span<const float> values, std::size_t rows, std::size_t columns,
                      interrupt_checker& interrupts);
void append_json_numbers(std::string& out, span<const float> values, interrupt_checker& interrupts);
// One number, with the fewest digits that read back as the same.
void append_json_number(std::string& out, double value);

}  // namespace hartonomous
