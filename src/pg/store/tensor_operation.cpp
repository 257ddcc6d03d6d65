// Operations and their arguments (tensor_operation.hpp).
#include "pg/store/tensor_operation.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "hartonomous/format.hpp"
#include "pg/base/json_object.hpp"

namespace hartonomous::pg {
namespace {

void require_writable(const std::string& name) {
  const format_traits* found = find_format(name.data(), name.size());
  if (found == nullptr) {
    throw error(sqlstate::invalid_parameter_value, "unknown weight format \"" + name + "\"", {},
                "SELECT format FROM hartonomous.formats() WHERE writable;");
  }
  if (!found->writable) {
    throw error(sqlstate::feature_not_supported, std::string("format ") + found->name + " cannot be written", {},
                "SELECT format FROM hartonomous.formats() WHERE writable;");
  }
}

void read_copy(json_object&, tensor_operation&) {}

// Statistics are named, not stored in the step: copy_atoms() reads them when it needs them. Returns whether both the
// calibration set and the revision are given, or with `wanted` false whether either is.
bool read_statistics(json_object& arguments, tensor_operation& to, bool wanted) {
  to.calibration_set = arguments.text("calibration_set");
  const auto revision = arguments.integer("calibration_revision", 1, INT32_MAX);
  to.calibration_revision = revision.value_or(0);
  return wanted ? to.calibration_set && revision : to.calibration_set || revision;
}

void read_damping(json_object& arguments, tensor_operation& to) {
  to.damping = arguments.number("damping").value_or(to.damping);
  if (!(to.damping > 0 && to.damping <= 1)) arguments.refuse("damping", "must be above 0 and at most 1");
}

void read_calibration(json_object& arguments, tensor_operation& to) {
  const std::string method = arguments.text("method").value_or("plain");
  if (method != "plain" && method != "imatrix" && method != "hessian") {
    arguments.refuse("method", "must be plain, imatrix or hessian");
  }
  to.by_hessian = method == "hessian";
  const bool calibrated = method != "plain";
  if (read_statistics(arguments, to, calibrated) != calibrated) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"quantize\" needs \"calibration_set\" and \"calibration_revision\" if its method is not "
                "\"plain\", and only then");
  }
  if (calibrated && to.column_importance) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"quantize\" takes either \"column_importance\" or a calibration set");
  }
}

void read_hessian(json_object& arguments, tensor_operation& to) {
  const bool damped = arguments.number("damping").has_value();
  const auto sweeps = arguments.integer("sweeps", 0, 100);
  const auto sequential = arguments.boolean("sequential");
  const auto curvature = arguments.text("curvature");
  if (curvature && *curvature != "fisher") arguments.refuse("curvature", "must be fisher");
  if (!to.by_hessian) {
    if (damped) arguments.refuse("damping", "is for the method hessian");
    if (sweeps) arguments.refuse("sweeps", "is for the method hessian");
    if (sequential) arguments.refuse("sequential", "is for the method hessian");
    if (curvature) arguments.refuse("curvature", "is for the method hessian");
    return;
  }
  read_damping(arguments, to);
  to.sweeps = sweeps.value_or(to.sweeps);
  to.sequential = sequential.value_or(false);
  to.two_sided = curvature.has_value();
}

void read_quantize(json_object& arguments, tensor_operation& to) {
  to.format = arguments.text("format");
  const auto planned = arguments.texts("planned_formats");
  to.planned_formats = arguments.value("planned_formats");
  to.column_importance = arguments.reals("column_importance");
  read_calibration(arguments, to);
  read_hessian(arguments, to);
  if (to.format.has_value() == planned.has_value()) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"quantize\" needs either \"format\" or \"planned_formats\"");
  }
  if (to.column_importance && !std::all_of(to.column_importance->begin(), to.column_importance->end(),
                                           [](float v) { return v >= 0 && std::isfinite(v); })) {
    arguments.refuse("column_importance", "must have finite numbers only, zero or more");
  }
  if (to.format) require_writable(*to.format);
  if (!planned) return;
  for (const auto& [name, format] : *planned) require_writable(format);
  if (to.by_hessian) arguments.refuse("method", "hessian needs one format for all atoms");
}

void read_refit(json_object& arguments, tensor_operation& to) {
  to.refits = read_statistics(arguments, to, true);
  if (!to.refits && (to.calibration_set || to.calibration_revision != 0)) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"prune\" needs both \"calibration_set\" and \"calibration_revision\" to refit weights");
  }
  if (arguments.number("damping") && !to.refits) arguments.refuse("damping", "is for a refit");
  read_damping(arguments, to);
  if (to.refits && (to.region || !to.minimum_importance)) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"prune\" refits weights only if it prunes by \"minimum_importance\" alone");
  }
}

// The minimum may be NaN: PostgreSQL sorts NaN above all numbers, so every atom that has an importance is removed.
void read_prune(json_object& arguments, tensor_operation& to) {
  to.minimum_importance = arguments.real("minimum_importance");
  to.region = arguments.reals("region");
  to.outside_region = arguments.boolean("outside_region").value_or(false);
  arguments.boolean("atoms_only");
  read_refit(arguments, to);
  if (!to.minimum_importance && !to.region) {
    throw error(sqlstate::invalid_parameter_value, "operation \"prune\" needs \"minimum_importance\" or \"region\"");
  }
  if (!to.region) return;
  const std::vector<float>& box = *to.region;
  const auto is_side = [&](std::size_t i) { return box[i] <= box[i + 1]; };
  if (box.size() != 6 || !is_side(0) || !is_side(2) || !is_side(4)) {
    arguments.refuse("region", "must be min_x, max_x, min_y, max_y, min_z, max_z, no maximum below its minimum");
  }
}

void read_score(json_object& arguments, tensor_operation& to) {
  to.importance_method = arguments.text("method");
  const std::string method = to.importance_method.value_or(std::string());
  if (method != "magnitude" && method != "wanda" && method != "obs" && method != "usage") {
    arguments.refuse("method", "must be magnitude, wanda, obs or usage");
  }
  const bool calibrated = method == "wanda" || method == "obs";
  if (read_statistics(arguments, to, calibrated) != calibrated) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"score\" needs \"calibration_set\" and \"calibration_revision\" if its method is "
                "\"wanda\" or \"obs\", and only then");
  }
  if (arguments.number("damping") && method != "obs") arguments.refuse("damping", "is for the method obs");
  read_damping(arguments, to);
}

void read_encode_geometry(json_object& arguments, tensor_operation& to) {
  to.encodes_geometry = true;
  to.format = arguments.text("format");
  const std::string format = to.format.value_or(std::string());
  if (format != "Q8_0" && format != "F16" && format != "F32") {
    arguments.refuse("format", "must be Q8_0, F16 or F32");
  }
}

// factor_tensor() (sql/api/svd_model.sql) reads the arguments again and executes the operation.
void read_factor(json_object& arguments, tensor_operation& to) {
  to.changes_atoms = false;
  to.format = arguments.text("format");
  const auto rank = arguments.integer("rank", 1, INT32_MAX);
  arguments.integer("most_rank", 1, INT32_MAX);
  const auto energy = arguments.number("energy");
  const double residual = arguments.number("residual_ratio").value_or(0);
  const auto dense = arguments.text("dense_format");
  to.calibration_set = arguments.text("calibration_set");
  const auto revision = arguments.integer("calibration_revision", 1, INT32_MAX);
  to.calibration_revision = revision.value_or(0);
  if (to.calibration_set.has_value() != revision.has_value()) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"factor\" needs \"calibration_set\" and \"calibration_revision\", or none of them");
  }
  if (rank.has_value() == energy.has_value()) {
    throw error(sqlstate::invalid_parameter_value, "operation \"factor\" needs either \"rank\" or \"energy\"");
  }
  if (energy && !(*energy > 0 && *energy <= 1)) arguments.refuse("energy", "must be above 0 and at most 1");
  if (!(residual >= 0 && residual < 1)) arguments.refuse("residual_ratio", "must be at least 0 and below 1");
  if (!to.format) arguments.refuse("format", "is missing");
  require_writable(*to.format);
  if (dense && find_format(dense->data(), dense->size()) == nullptr) arguments.refuse("dense_format", "is unknown");
}

// A selection of all rows and columns, which are changed by the repair of a block (hartonomous/span_repair.hpp).
void read_repair(json_object& arguments) {
  const bool corpus = arguments.text("corpus").has_value(), named = arguments.text("corpus_set").has_value();
  const bool complete = arguments.integer("before", 0, INT32_MAX).has_value() && corpus != named &&
                        arguments.number("damping").has_value();
  arguments.integer("n_ctx", 1, INT32_MAX);
  if (!complete) {
    throw error(
        sqlstate::invalid_parameter_value,
        "operation \"select\" needs \"before\", \"corpus\" or \"corpus_set\", and \"damping\" with \"kept_blocks\"");
  }
}

// select_tensor() (sql/internal/selections.sql) reads the arguments again and executes the operation.
void read_select(json_object& arguments, tensor_operation& to) {
  to.changes_atoms = false;
  if (arguments.reals("kept_blocks")) return read_repair(arguments);
  const auto rows = arguments.reals("rows"), columns = arguments.reals("columns");
  if (!rows && !columns) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"select\" needs \"rows\", \"columns\" or \"kept_blocks\"");
  }
  if (!arguments.reals("shape")) arguments.refuse("shape", "is missing");
  const bool refitted = arguments.text("calibration_set").has_value();
  const auto revision = arguments.integer("revision", 1, INT32_MAX);
  const auto damping = arguments.number("damping");
  if (refitted != revision.has_value() || refitted != damping.has_value()) {
    throw error(sqlstate::invalid_parameter_value,
                "operation \"select\" needs \"calibration_set\", \"revision\" and \"damping\", or none of them");
  }
}

std::int64_t read_layer(json_object& arguments, const char* member) {
  const double value = arguments.number(member).value_or(0);
  // Numbers of layers are integers that a double has exactly.
  if (!(value >= 1 && value <= 9e15 && value == std::floor(value))) {
    arguments.refuse(member, "must be the number of a tensor");
  }
  return static_cast<std::int64_t>(value);
}

void read_merge(json_object& arguments, tensor_operation& to) {
  const auto adapter = arguments.integer("adapter", 1, INT32_MAX);
  if (!adapter) arguments.refuse("adapter", "is missing");
  to.adapter = *adapter;
  to.factor_a = read_layer(arguments, "a");
  to.factor_b = read_layer(arguments, "b");
  to.scale = arguments.real("scale");
  if (!to.scale || !std::isfinite(*to.scale)) arguments.refuse("scale", "must be a finite number");
}

struct known_operation {
  const char* name;
  void (*read)(json_object& arguments, tensor_operation& to);
};

constexpr known_operation operations[] = {{"copy", read_copy},     {"quantize", read_quantize},
                                          {"prune", read_prune},   {"encode_geometry", read_encode_geometry},
                                          {"factor", read_factor}, {"select", read_select},
                                          {"score", read_score},   {"merge", read_merge}};

}  // namespace

tensor_operation read_operation(const std::string& name, Datum arguments) {
  const known_operation* const known = std::find_if(std::begin(operations), std::end(operations),
                                                    [&](const known_operation& e) { return name == e.name; });
  if (known == std::end(operations)) {
    std::string list;
    for (const known_operation& e : operations) list += std::string(list.empty() ? "\"" : ", \"") + e.name + "\"";
    throw error(sqlstate::invalid_parameter_value, "unknown operation \"" + name + "\"", {},
                "Operations are " + list + ".");
  }
  json_object object(arguments, "arguments of operation \"" + name + "\"");
  tensor_operation result;
  known->read(object, result);
  object.require_no_others();
  return result;
}

}  // namespace hartonomous::pg
