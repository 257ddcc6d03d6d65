// What is done with a tensor: the name and the arguments of an operation as a step of a run stores them
// (sql/internal/operations.sql), parsed and checked. A new operation is added to the list in tensor_operation.cpp.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// Members that an operation does not have, or that were not given, are empty.
struct tensor_operation {
  bool changes_atoms = true;  // executed by copy_atoms; other operations have their own functions
  // quantize, factor: of weights; encode_geometry: of positions
  std::optional<std::string> format;
  // quantize
  std::optional<Datum> planned_formats;  // a jsonb object: the format used here for each format planned for an atom
  std::optional<std::vector<float>> column_importance;
  // quantize, factor, prune, score: the calibration set whose statistics of a revision are used, if any
  std::optional<std::string> calibration_set;
  std::int32_t calibration_revision = 0;
  // with the method "hessian", which uses its Gram matrices; without it, the set gives the column importance
  bool by_hessian = false;
  double damping = 0.01;
  std::int32_t sweeps = 5;
  bool sequential = false;  // together with the other tensors of its block, on what has been quantized before
  bool two_sided = false;   // uses the Gram matrices of gradients by the outputs, too
  // encode_geometry
  bool encodes_geometry = false;
  // prune: removes atoms below the minimum, and those outside the region (or, with outside_region, inside it)
  std::optional<float> minimum_importance;
  std::optional<std::vector<float>> region;
  bool outside_region = false;
  bool refits = false;  // the weights that stay, by the Gram matrices of the calibration set
  // merge: adds the product of two matrices of another model, given by their layers, times the scale
  std::optional<float> scale;
  std::int32_t adapter = 0;
  std::int64_t factor_a = 0, factor_b = 0;
  // score: importance by magnitude, wanda, obs or usage
  std::optional<std::string> importance_method;
};

// Errors are 22023 and name what is wrong: an unknown operation, an unknown member, a member of the wrong type or out
// of range, members that exclude each other; 0A000 for a format that cannot be written.
tensor_operation read_operation(const std::string& name, Datum arguments);

}  // namespace hartonomous::pg
