// The importance of a tensor's columns, from the calibration statistics in the store (hartonomous.calibration_stats).
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// Sums of squares of a tensor's input over the tokens of a calibration set.
struct importance_sums {
  std::int32_t columns = 0, experts = 0;  // experts: 1 if the tensor is one matrix
  std::vector<float> sums;                // experts x columns
  std::vector<std::int64_t> counts;       // tokens of each expert, or one number for all
};

// Has no value if the revision has no statistics of this tensor. Needs an spi_session. The table belongs to a user;
// errors: those of query_result, 55000 if the statistics do not fit the tensor or are no sums of squares, 53200 if they
// need more than hartonomous.max_work_memory.
std::optional<importance_sums> stored_importance_sums(std::int64_t layer, const std::string& calibration_set,
                                                      std::int32_t revision);

// The mean squares of the columns, as llama-quantize computes them: experts x columns. Raises also 42704 if there are
// no statistics.
std::vector<float> read_layer_importance(std::int64_t layer, const std::string& calibration_set, std::int32_t revision);

}  // namespace hartonomous::pg
