// Calibration statistics as they are stored (sql/api/store.sql, docs/manual/calibrate.md), read and checked: the tables
// belong to a user.
//
// Errors: 55000 if the values do not fit the matrix or each other, are not finite, or a panel is missing; 53200 beyond
// max_work_memory; those of query_result.
#pragma once

#include "pg/base/spi.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// Whose statistics, and what shape they must have.
struct calibration_place {
  std::int32_t model = 0, revision = 0;
  std::string calibration_set;
  std::int64_t layer = 0;
  std::string tensor;       // for messages
  std::size_t columns = 0;  // the row length of the matrix
  std::size_t experts = 1;  // matrices in the tensor
  std::size_t rows = 0;     // of each
};

// What is known of the inputs of a matrix. All numbers are sums over tokens.
struct input_statistics {
  std::int64_t tokens = 0;                 // of the text
  std::vector<std::int64_t> token_counts;  // one for each expert
  std::vector<float> sums_of_squares;      // experts x columns, none negative
  std::optional<std::int64_t> gram_layer;  // the tensor under which the Gram matrix is stored, if there is one
};

struct stored_gram {
  std::int64_t tokens = 0;  // that this input was the sum of: those of the expert
  std::size_t columns = 0;
  std::vector<float> upper;  // the upper triangle, row after row, each from the diagonal on; zeros without tokens
};

// The numbers in the upper triangle, and where row `i` of it begins.
constexpr std::uint64_t triangle_size(std::uint64_t columns) noexcept { return columns * (columns + 1) / 2; }
constexpr std::uint64_t triangle_row(std::uint64_t columns, std::uint64_t row) noexcept {
  return triangle_size(columns) - triangle_size(columns - row);
}

// The place of a tensor of a model; raises 42704 if there is none of that name. Needs an spi_session, as do those
// below.
calibration_place find_calibrated(std::int32_t model, std::int32_t revision, const std::string& calibration_set,
                                  const std::string& tensor);

// Both read with the active snapshot, and have no value if there are no such statistics; a Gram
// matrix is then missing if only the diagonal was collected.
std::optional<input_statistics> read_input_statistics(const calibration_place& place);
std::optional<stored_gram> read_gram(const calibration_place& place, std::size_t expert);
// The same, but 55000 if there are none.
input_statistics require_input_statistics(const calibration_place& place);
stored_gram require_gram(const calibration_place& place, std::size_t expert);
// That of the gradients by the outputs of a matrix of so many rows, which are its columns.
std::optional<stored_gram> read_gradient_gram(const calibration_place& place, std::size_t rows);

}  // namespace hartonomous::pg
