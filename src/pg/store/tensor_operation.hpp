// What becomes of a tensor: an operation's name and its arguments, as a step of a run stores them
// (sql/internal/operations.sql), read and checked. A new operation is an entry in the list of tensor_operation.cpp.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// Fields that an operation has not, or was not given, are empty.
struct tensor_operation {
  bool changes_atoms = true;  // copy_atoms carries it out; others have a function of their own
  // quantize, factor: of weights; encode_geometry: of positions
  std::optional<std::string> format;
  // quantize
  std::optional<Datum> planned_formats;  // a jsonb object: what each format planned for an atom means here
  std::optional<std::vector<float>> column_importance;
  // encode_geometry
  bool encodes_geometry = false;
  // prune: atoms below stay not, nor those outside the region or, outside_region, those in it
  std::optional<float> minimum_importance;
  std::optional<std::vector<float>> region;
  bool outside_region = false;
};

// Errors are 22023 and name what is wrong: an unknown operation, an unknown member, one of another type or out of
// range, members that do not go together; 0A000 a format that cannot be written.
tensor_operation read_operation(const std::string& name, Datum arguments);

}  // namespace hartonomous::pg
