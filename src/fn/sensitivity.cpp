// Sensitivity of tensors to quantization, and the allocation of bits (sql/api/sensitivity.sql, sql/api/allocation.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/embedding_hessian.hpp"
#include "pg/model/kept_probe.hpp"
#include "pg/model/language_model.hpp"
#include "pg/store/calibration_statistics.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>

#include "hartonomous/bit_allocation.hpp"
#include "hartonomous/sensitivity.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

format format_named(std::string_view name) {
  const format_traits* const found = find_format(name.data(), name.size());
  if (found == nullptr || !found->writable) {
    throw error(sqlstate::invalid_parameter_value, "format \"" + std::string(name) + "\" cannot be written", {},
                "SELECT format FROM hartonomous.formats() WHERE writable;");
  }
  return found->id;
}

std::vector<format> formats_argument(FunctionCallInfo fcinfo, int argument) {
  const array_elements names(PG_GETARG_DATUM(argument), TEXTOID);
  std::vector<format> formats;
  for (std::size_t i = 0; i < names.size(); ++i) formats.push_back(format_named(names.text(i)));
  return formats;
}

// With the damping that quantize_model() uses.
std::unique_ptr<input_hessian> hessian_of(const stored_gram& gram, thread_pool& threads,
                                          interrupt_checker& interrupts) {
  constexpr double damping = 0.01;
  const auto row = [&](std::size_t i, double* out) {
    const float* const from = gram.upper.data() + triangle_row(gram.columns, i);
    std::copy(from, from + (gram.columns - i), out);
  };
  return std::make_unique<input_hessian>(gram.columns, row, damping, threads, interrupts);
}

// Reads the rows of a tensor and adds up their errors, expert by expert.
std::vector<double> errors_of_tensor(model_tensors& tensors, const calibration_place& place,
                                     const std::vector<format>& formats, std::string_view method) {
  backend_interrupts interrupts;
  thread_pool threads(static_cast<unsigned>(current_settings.threads));
  const std::optional<input_statistics> statistics = read_input_statistics(place);
  std::optional<stored_gram> gram = gram_of_embedding(place, tensors, threads);
  // Without a Gram matrix there is still its diagonal, by which quantize_plan() quantizes, too.
  const bool full = gram || (statistics && statistics->gram_layer), by_hessian = full && method == "hessian";
  const std::uint64_t gram_bytes = full ? triangle_size(place.columns) * sizeof(float) : 0;
  require_work_memory(gram_bytes + std::max(format_errors::bytes(place.columns, by_hessian) +
                                                (by_hessian ? input_hessian::bytes(place.columns) : 0),
                                            by_hessian ? input_hessian::work_bytes(place.columns) : 0),
                      "measuring the errors of formats");
  format_errors errors(formats, place.columns, statistics && !by_hessian && method != "plain", threads, interrupts);
  const std::uint64_t rows = tensors.find(place.tensor)->rows, of_expert = rows / place.experts;
  const auto reader = tensors.open(place.tensor, {0, rows});
  for (std::size_t expert = 0; expert < place.experts; ++expert) {
    input_gram inputs;
    std::unique_ptr<input_hessian> hessian;
    if (statistics) gram = read_gram(place, expert);
    if (gram) inputs.upper = gram->upper;
    if (by_hessian && gram) hessian = hessian_of(*gram, threads, interrupts);
    inputs.hessian = hessian.get();
    if (statistics) inputs.diagonal = {statistics->sums_of_squares.data() + expert * place.columns, place.columns};
    errors.use(inputs);
    for (std::uint64_t row = 0; row < of_expert;) {
      interrupts.check();
      const std::uint64_t count = std::min<std::uint64_t>(format_errors::panel_rows(place.columns), of_expert - row);
      errors.add(reader->next(count), count);
      row += count;
    }
  }
  return errors.relative_errors();
}

}  // namespace

// One row per format: its relative error.
HARTONOMOUS_FUNCTION(format_errors) {
  const std::int32_t id = model_argument(fcinfo);
  const std::string set = text_argument(fcinfo, 3, "the calibration set");
  const std::string tensor = text_argument(fcinfo, 4, "the tensor");
  const std::vector<format> formats = formats_argument(fcinfo, 5);
  const std::string method = text_argument(fcinfo, 6, "the method");
  result_rows rows(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  model_tensors tensors(atoms_of_revision(id, PG_GETARG_INT32(1)));
  const calibration_place place = find_calibrated(id, PG_GETARG_INT32(2), set, tensor);
  const std::vector<double> errors = errors_of_tensor(tensors, place, formats, method);
  for (std::size_t i = 0; i < formats.size(); ++i) {
    const Datum values[] = {text_datum(traits_of(formats[i]).name), Float8GetDatum(errors[i])};
    const bool nulls[2] = {};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}

// One row: the divergence, its standard error, and the number of scored tokens.
HARTONOMOUS_FUNCTION(probe_tensor) {
  const std::int32_t id = model_argument(fcinfo), revision = PG_GETARG_INT32(1), tokens = PG_GETARG_INT32(7);
  const std::string set = text_argument(fcinfo, 3, "the calibration set"), text = text_argument(fcinfo, 4, "the text");
  const std::string tensor = text_argument(fcinfo, 5, "the tensor");
  const format low = format_named(text_view_argument(fcinfo, 6));
  const locked_snapshot snapshot(id);
  estimate found;
  std::uint64_t scored = 0;
  {
    spi_session spi;
    language_model model(atoms_of_revision(id, revision));
    constexpr std::uint32_t usual = 512;
    const std::uint32_t n_ctx = std::min(usual, model.network().config().context);
    const std::string key =
        std::to_string(id) + ' ' + std::to_string(revision) + ' ' + std::to_string(tokens) + ' ' + set;
    std::unique_ptr<sensitivity_probe> probe = take_probe(key, [&] {
      std::vector<token_id> all = model.encode(text);
      all.resize(std::min(all.size(), static_cast<std::size_t>(std::max(0, tokens))));
      return std::make_unique<sensitivity_probe>(all, n_ctx, model.begin());
    });
    std::vector<float> importance;
    if (PG_GETARG_BOOL(8)) {
      const auto statistics = read_input_statistics(find_calibrated(id, PG_GETARG_INT32(2), set, tensor));
      if (statistics) importance = statistics->sums_of_squares;
    }
    backend_interrupts interrupts;
    substituted_source source(model.tensors(), tensor, low, std::move(importance), interrupts);
    transformer changed(model.network().config(), source, static_cast<unsigned>(current_settings.threads),
                        work_memory() / 16, interrupts);
    found = probe->divergence(model.network(), changed, sensitivity_probe::step_of(changed, tensor), work_memory());
    scored = probe->scored();
    if (PG_GETARG_BOOL(9)) keep_probe(key, std::move(probe));
  }
  const Datum values[] = {Float8GetDatum(found.value), Float8GetDatum(found.standard_error),
                          Int64GetDatum(static_cast<int64>(scored))};
  const bool nulls[3] = {};
  return composite_datum(fcinfo, values, nulls);
}

// One row: the positions of the chosen options, ascending, and the bytes and costs of all of them together.
HARTONOMOUS_FUNCTION(allocate_bits) {
  const array_elements tensors(PG_GETARG_DATUM(0), INT4OID), bytes(PG_GETARG_DATUM(1), INT8OID),
      costs(PG_GETARG_DATUM(2), FLOAT8OID);
  if (bytes.size() != tensors.size() || costs.size() != tensors.size()) {
    throw error(sqlstate::array_subscript_error, "tensors, bytes and costs must have the same length");
  }
  std::vector<std::vector<allocation_option>> options;
  std::vector<std::size_t> first;  // position of the first option of each tensor
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i == 0 || DatumGetInt32(tensors[i]) != DatumGetInt32(tensors[i - 1])) {
      options.emplace_back();
      first.push_back(i);
    }
    if (DatumGetInt64(bytes[i]) < 0) throw error(sqlstate::invalid_parameter_value, "a number of bytes is negative");
    options.back().push_back({static_cast<std::uint64_t>(DatumGetInt64(bytes[i])), DatumGetFloat8(costs[i])});
  }
  backend_interrupts interrupts;
  const std::int64_t budget = PG_GETARG_INT64(3);
  const bit_allocation found = allocate_bits(options, static_cast<std::uint64_t>(std::max<std::int64_t>(0, budget)),
                                             work_memory() / 4, interrupts);
  ArrayType* const chosen = new_integer_array(found.chosen.size());
  for (std::size_t t = 0; t < found.chosen.size(); ++t) {
    integer_elements(chosen)[t] = static_cast<std::int32_t>(first[t] + found.chosen[t] + 1);
  }
  const Datum values[] = {PointerGetDatum(chosen), Int64GetDatum(static_cast<int64>(found.bytes)),
                          Float8GetDatum(found.cost), Float8GetDatum(found.lower_bound)};
  const bool nulls[4] = {};
  return composite_datum(fcinfo, values, nulls);
}
