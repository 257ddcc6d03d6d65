// Decomposition of tensors for the inputs that calibration has seen (sql/internal/whitened_svd.sql).
#include "pg/base/factors.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"
#include "pg/store/layer_hessian.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "hartonomous/whitened_svd.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// Of the mean of the diagonal of a Gram matrix: that of quantize_model().
constexpr double damping = 0.01;

// The tensor that arguments name: the model, the revision that was calibrated, the set and the tensor.
calibration_place place_arguments(FunctionCallInfo fcinfo, int first) {
  const calibration_place place =
      find_calibrated(PG_GETARG_INT32(first), PG_GETARG_INT32(first + 1), text_argument(fcinfo, first + 2, "the set"),
                      text_argument(fcinfo, first + 3, "the tensor"));
  if (place.experts == 1) return place;
  throw error(sqlstate::invalid_parameter_value, "tensor \"" + place.tensor + "\" is no matrix");
}

// A matrix whose rows are as long as those of the tensor.
struct matrix_argument {
  matrix_argument(Datum value, const calibration_place& place) : view(value), floats(view) {
    if (view.count() % place.columns == 0) return;
    throw error(sqlstate::array_subscript_error, "a matrix of " + std::to_string(view.count()) +
                                                     " weights has no rows of " + std::to_string(place.columns));
  }
  std::uint64_t bytes() const noexcept { return std::uint64_t{view.count()} * sizeof(float); }
  weights_view view;
  weights_floats floats;
};

}  // namespace

// The factors of a matrix.
HARTONOMOUS_FUNCTION(whitened_factors) {
  const MemoryContext context = CurrentMemoryContext;
  spi_session spi;
  const calibration_place place = place_arguments(fcinfo, 1);
  svd_request request;
  request.rank = static_cast<std::size_t>(std::max(1, PG_GETARG_INT32(5)));
  request.energy = PG_GETARG_FLOAT8(6);
  const matrix_argument matrix(PG_GETARG_DATUM(0), place);
  const std::size_t rows = matrix.view.count() / place.columns;
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  backend_interrupts interrupts;
  const auto hessian =
      layer_hessian(place, 0, damping, matrix.bytes() + whitened_svd_work_bytes(rows, place.columns, request), pool,
                    interrupts, true);
  const svd_factors found = whitened_svd(matrix.floats.values(), *hessian, request, pool, interrupts);
  const context_scope scope(context);
  return factors_datum(fcinfo, found);
}

// What factors of a matrix change in its outputs.
HARTONOMOUS_FUNCTION(output_error) {
  spi_session spi;
  const calibration_place place = place_arguments(fcinfo, 2);
  const matrix_argument matrix(PG_GETARG_DATUM(0), place);
  const factors_argument factors(PG_GETARG_DATUM(1));
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  backend_interrupts interrupts;
  const auto hessian = layer_hessian(place, 0, damping, 2 * matrix.bytes(), pool, interrupts);
  PG_RETURN_FLOAT8(output_error(matrix.floats.values(), factors.view(), *hessian, pool, interrupts));
}

// All singular values of a matrix, of which the squares add up to 1.
HARTONOMOUS_FUNCTION(whitened_values) {
  const MemoryContext context = CurrentMemoryContext;
  spi_session spi;
  const calibration_place place = place_arguments(fcinfo, 1);
  const matrix_argument matrix(PG_GETARG_DATUM(0), place);
  const std::size_t rows = matrix.view.count() / place.columns;
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  backend_interrupts interrupts;
  const auto hessian = layer_hessian(
      place, 0, damping, matrix.bytes() + whitened_values_work_bytes(rows, place.columns), pool, interrupts);
  const whitened_spectrum found = whitened_values(matrix.floats.values(), *hessian, pool, interrupts);
  const context_scope scope(context);
  weights_varlena* const result = new_weights(format::F32, found.values.size());
  const double norm = found.energy > 0.0 ? std::sqrt(found.energy) : 1.0;
  std::transform(found.values.begin(), found.values.end(), reinterpret_cast<float*>(result->blocks()),
                 [&](float value) { return static_cast<float>(static_cast<double>(value) / norm); });
  PG_RETURN_POINTER(result);
}
