// Matrices as JSON text: one flat array of numbers, or an array of rows. No tree is built: numbers go from the text
// straight into the matrix.
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

// Reads at most `limit` numbers; expected is how many there probably are (room is made for as many at once).
//
// Errors: 22P02 not JSON, or anything but numbers in one or two levels of arrays; 22023 rows of different lengths;
// 22003 a number no float can hold; 54000 more than `limit` numbers.
json_matrix parse_json_matrix(std::string_view json, std::size_t limit, std::size_t expected,
                              interrupt_checker& interrupts);

// Appends a matrix to `out`, each number in the fewest digits that read back as the same float: rows x columns as an
// array of rows, or one flat array. Error 22003 on NaN and infinity, which JSON has not.
void append_json_rows(std::string& out, span<const float> values, std::size_t rows, std::size_t columns,
                      interrupt_checker& interrupts);
void append_json_numbers(std::string& out, span<const float> values, interrupt_checker& interrupts);
// One number, in the fewest digits that read back as the same.
void append_json_number(std::string& out, double value);

}  // namespace hartonomous
