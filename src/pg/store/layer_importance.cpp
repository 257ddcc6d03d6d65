// Calibration statistics of a tensor (layer_importance.hpp).
#include "pg/store/layer_importance.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "hartonomous/importance_file.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"

namespace hartonomous::pg {
namespace {

[[noreturn]] void refuse(const std::string& tensor, const std::string& why,
                         source_location thrown = source_location::current()) {
  throw error(sqlstate::object_not_in_prerequisite_state,
              "calibration statistics of tensor \"" + tensor + "\" are invalid", why,
              "Delete them from hartonomous.calibration_stats, and collect or import them again.", thrown);
}

// The number of matrices in a tensor; shapes have the rows and columns last.
std::int64_t matrices_of(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (std::size_t i = 0; i + 2 < shape.size(); ++i) {
    if (__builtin_mul_overflow(product, shape[i], &product)) return INT64_MAX;
  }
  return product;
}

std::vector<float> checked_sums(Datum value, std::uint64_t count, const std::string& tensor) {
  // Only the header is read first, so that a value of another size is found before it is fetched.
  const std::uint64_t stored = read_header(value).count;
  if (stored != count) {
    refuse(tensor,
           "There are " + std::to_string(stored) + " sums of squares instead of " + std::to_string(count) + ".");
  }
  require_work_memory(count * 2 * sizeof(float), "reading calibration statistics");
  const weights_view view(value);
  std::vector<float> sums(count);
  decode(view, sums.data());
  // A sum of squares is nonnegative; the comparison is also false for NaN.
  const auto valid = [](float sum) { return sum >= 0 && std::isfinite(sum); };
  if (!std::all_of(sums.begin(), sums.end(), valid)) refuse(tensor, "A sum of squares is negative or not finite.");
  return sums;
}

}  // namespace

std::optional<importance_sums> stored_importance_sums(std::int64_t layer, const std::string& calibration_set,
                                                      std::int32_t revision) {
  const query_result found = select(
      "SELECT s.columns, s.experts, s.token_counts, s.sums_of_squares, l.layer_name, l.row_length, l.tensor_shape "
      "FROM hartonomous.model_layers l "
      "JOIN hartonomous.calibration_stats s ON s.model_id OPERATOR(pg_catalog.=) l.model_id "
      "AND s.layer_id OPERATOR(pg_catalog.=) l.layer_id WHERE l.layer_id OPERATOR(pg_catalog.=) $1 "
      "AND s.calibration_set OPERATOR(pg_catalog.=) $2 AND s.revision_id OPERATOR(pg_catalog.=) $3",
      "calibration_stats",
      {{INT8OID, Int64GetDatum(layer)}, {TEXTOID, text_datum(calibration_set)}, {INT4OID, Int32GetDatum(revision)}});
  if (found.rows() == 0) return std::nullopt;
  const std::string tensor = found.text(0, 5);
  if (found.rows() > 1) refuse(tensor, "There are several rows for the same revision.");
  importance_sums statistics;
  statistics.columns = found.integer(0, 1, 1);
  statistics.experts = found.integer(0, 2, 1);
  statistics.counts = found.bigints(0, 3, 0);
  const std::int64_t matrices = matrices_of(found.bigints(0, 7, 0));
  if (statistics.columns != found.bigint(0, 6) || statistics.experts != matrices) {
    refuse(tensor, "They are for " + std::to_string(statistics.experts) + " x " + std::to_string(statistics.columns) +
                       " columns; the tensor has " + std::to_string(matrices) + " x " +
                       std::to_string(found.bigint(0, 6)) + ".");
  }
  if (statistics.counts.size() != 1 && statistics.counts.size() != static_cast<std::size_t>(statistics.experts)) {
    refuse(tensor, "There are " + std::to_string(statistics.counts.size()) + " token counts.");
  }
  statistics.sums = checked_sums(
      found.value(0, 4, call([] { return weights_type(); })),
      static_cast<std::uint64_t>(statistics.columns) * static_cast<std::uint64_t>(statistics.experts), tensor);
  return statistics;
}

std::vector<float> read_layer_importance(std::int64_t layer, const std::string& calibration_set,
                                         std::int32_t revision) {
  std::optional<importance_sums> statistics = stored_importance_sums(layer, calibration_set, revision);
  if (!statistics) {
    throw error(sqlstate::undefined_object,
                "there are no statistics of calibration set \"" + calibration_set + "\" for layer " +
                    std::to_string(layer) + " of revision " + std::to_string(revision),
                {}, "They may have been deleted since the plan was made: make it again.");
  }
  mean_squares(statistics->sums, statistics->counts, statistics->sums);
  return std::move(statistics->sums);
}

}  // namespace hartonomous::pg
