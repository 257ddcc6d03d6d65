// Reading and checking calibration statistics (calibration_statistics.hpp).
#include "pg/store/calibration_statistics.hpp"

#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace hartonomous::pg {
namespace {

[[noreturn]] void wrong(const calibration_place& place, const std::string& what,
                        source_location thrown = source_location::current()) {
  throw error(sqlstate::object_not_in_prerequisite_state,
              "the calibration statistics of tensor \"" + place.tensor + "\" are damaged", what,
              "DELETE them from hartonomous.calibration_stats and call collect_calibration() again.", thrown);
}

void require_sums(const calibration_place& place, span<const float> sums) {
  const bool sound = std::all_of(sums.begin(), sums.end(), [](float s) { return s >= 0 && std::isfinite(s); });
  if (!sound) wrong(place, "A sum of squares is negative or not finite.");
}

// The rows of the triangle in one panel.
class triangle_writer {
 public:
  triangle_writer(const calibration_place& place, stored_gram& to)
      : place_(place), columns_(to.columns), to_(to.upper) {}

  void add(std::int32_t first_column, Datum stored) {
    const auto* bytes = call([&] { return PG_DETOAST_DATUM_PACKED(stored); });
    const std::size_t size = VARSIZE_ANY_EXHDR(bytes), count = size / sizeof(float);
    if (static_cast<std::size_t>(first_column) != row_ || size % sizeof(float) != 0 || count > to_.size() - at_) {
      wrong(place_, "The panels of the Gram matrix do not follow each other.");
    }
    std::memcpy(to_.data() + at_, VARDATA_ANY(bytes), size);
    if (PointerGetDatum(bytes) != stored) pfree(const_cast<varlena*>(bytes));
    check(count);
  }
  void finish() const {
    if (at_ != to_.size()) wrong(place_, "A panel of the Gram matrix is missing.");
  }

 private:
  // Counts the rows of what was copied: it must consist of whole ones.
  void check(std::size_t count) {
    const std::size_t end = at_ + count;
    while (at_ < end) {
      const std::size_t length = columns_ - row_;
      if (length > end - at_) wrong(place_, "A panel of the Gram matrix ends within a row.");
      const float* const row = to_.data() + at_;
      const bool finite = std::all_of(row, row + length, [](float g) { return std::isfinite(g); });
      if (!finite || row[0] < 0)
        wrong(place_, "The Gram matrix has a number that is not finite, or a negative square.");
      at_ += length;
      ++row_;
    }
  }

  const calibration_place& place_;
  std::size_t columns_;
  std::vector<float>& to_;
  std::size_t at_ = 0, row_ = 0;
};

// Reads the panels stored under a tensor.
void read_panels(const calibration_place& place, std::int64_t layer, bool of_gradients, std::size_t expert,
                 stored_gram& to) {
  const query_result found = select(
      "SELECT g.first_column, g.gram FROM hartonomous.calibration_grams g "
      "WHERE g.model_id OPERATOR(pg_catalog.=) $1 AND g.revision_id OPERATOR(pg_catalog.=) $2 "
      "AND g.calibration_set OPERATOR(pg_catalog.=) $3 AND g.layer_id OPERATOR(pg_catalog.=) $4 "
      "AND g.expert OPERATOR(pg_catalog.=) $5 AND g.of_gradients OPERATOR(pg_catalog.=) $6 ORDER BY g.first_column",
      "calibration_grams",
      {{INT4OID, Int32GetDatum(place.model)},
       {INT4OID, Int32GetDatum(place.revision)},
       {TEXTOID, text_datum(place.calibration_set)},
       {INT8OID, Int64GetDatum(layer)},
       {INT4OID, Int32GetDatum(static_cast<std::int32_t>(expert))},
       {BOOLOID, BoolGetDatum(of_gradients)}});
  triangle_writer writer(place, to);
  backend_interrupts interrupts;
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    interrupts.check();
    writer.add(found.integer(i, 1, 0), found.value(i, 2, BYTEAOID));
  }
  writer.finish();
}

// Room for a triangle of that many columns.
stored_gram empty_gram(std::int64_t tokens, std::size_t columns) {
  stored_gram gram;
  gram.tokens = tokens;
  gram.columns = columns;
  const std::uint64_t size = triangle_size(columns);
  require_work_memory(size * sizeof(float), "reading a Gram matrix");
  gram.upper.resize(size);
  return gram;
}

}  // namespace

calibration_place find_calibrated(std::int32_t model, std::int32_t revision, const std::string& calibration_set,
                                  const std::string& tensor) {
  const query_result found = select(
      "SELECT l.layer_id, l.row_length, l.tensor_shape, l.parameter_count FROM hartonomous.model_layers l "
      "WHERE l.model_id OPERATOR(pg_catalog.=) $1 AND l.layer_name OPERATOR(pg_catalog.=) $2",
      "model_layers", {{INT4OID, Int32GetDatum(model)}, {TEXTOID, text_datum(tensor)}});
  if (found.rows() == 0) {
    throw error(sqlstate::undefined_object, "model " + std::to_string(model) + " has no tensor \"" + tensor + "\"", {},
                "SELECT layer_name FROM hartonomous.model_layers WHERE model_id = " + std::to_string(model) + ";");
  }
  const std::vector<std::int64_t> shape = found.bigints(0, 3, 0);
  calibration_place place = {model, revision, calibration_set, found.bigint(0, 1), tensor};
  place.columns = static_cast<std::size_t>(found.bigint(0, 2, 1, INT32_MAX));
  if (shape.size() == 3) place.experts = static_cast<std::size_t>(std::clamp<std::int64_t>(shape[0], 1, INT32_MAX));
  place.rows = static_cast<std::size_t>(found.bigint(0, 4, 0)) / place.columns / place.experts;
  return place;
}

std::optional<input_statistics> read_input_statistics(const calibration_place& place) {
  const query_result found = select(
      "SELECT s.tokens, s.columns, s.experts, s.token_counts, s.sums_of_squares, s.gram_layer_id "
      "FROM hartonomous.calibration_stats s WHERE s.model_id OPERATOR(pg_catalog.=) $1 "
      "AND s.revision_id OPERATOR(pg_catalog.=) $2 AND s.calibration_set OPERATOR(pg_catalog.=) $3 "
      "AND s.layer_id OPERATOR(pg_catalog.=) $4",
      "calibration_stats",
      {{INT4OID, Int32GetDatum(place.model)},
       {INT4OID, Int32GetDatum(place.revision)},
       {TEXTOID, text_datum(place.calibration_set)},
       {INT8OID, Int64GetDatum(place.layer)}});
  if (found.rows() == 0) return std::nullopt;
  if (found.rows() > 1) wrong(place, "There are several rows of them.");
  input_statistics result;
  result.tokens = found.bigint(0, 1, 0);
  if (static_cast<std::size_t>(found.integer(0, 2, 1)) != place.columns ||
      static_cast<std::size_t>(found.integer(0, 3, 1)) != place.experts) {
    wrong(place, "They are of " + std::to_string(found.integer(0, 3)) + " x " + std::to_string(found.integer(0, 2)) +
                     " columns; the tensor has " + std::to_string(place.experts) + " x " +
                     std::to_string(place.columns) + ".");
  }
  result.token_counts = found.bigints(0, 4, 0);
  if (result.token_counts.size() == 1) result.token_counts.resize(place.experts, result.token_counts.front());
  if (result.token_counts.size() != place.experts) wrong(place, "There is not one count of tokens for each expert.");
  const weights_view sums(found.value(0, 5, call([] { return weights_type(); })));
  if (sums.count() != place.experts * place.columns) wrong(place, "There is not one sum of squares for each column.");
  require_work_memory(sums.count() * sizeof(float), "reading calibration statistics");
  result.sums_of_squares.resize(sums.count());
  decode(sums, result.sums_of_squares.data());
  require_sums(place, result.sums_of_squares);
  if (const std::optional<Datum> layer = found.optional(0, 6, INT8OID)) result.gram_layer = DatumGetInt64(*layer);
  return result;
}

std::optional<stored_gram> read_gram(const calibration_place& place, std::size_t expert) {
  const std::optional<input_statistics> statistics = read_input_statistics(place);
  if (!statistics || !statistics->gram_layer) return std::nullopt;
  stored_gram result = empty_gram(statistics->token_counts.at(expert), place.columns);
  if (result.tokens > 0) read_panels(place, *statistics->gram_layer, false, expert, result);
  return result;
}

std::optional<stored_gram> read_gradient_gram(const calibration_place& place, std::size_t rows) {
  const std::optional<input_statistics> statistics = read_input_statistics(place);
  if (!statistics) return std::nullopt;
  stored_gram result = empty_gram(statistics->tokens, rows);
  read_panels(place, place.layer, true, 0, result);
  return result;
}

input_statistics require_input_statistics(const calibration_place& place) {
  std::optional<input_statistics> statistics = read_input_statistics(place);
  if (statistics) return std::move(*statistics);
  throw error(sqlstate::object_not_in_prerequisite_state,
              "calibration set \"" + place.calibration_set + "\" has no statistics of tensor \"" + place.tensor + "\"",
              {}, "CALL hartonomous.collect_calibration(model, calibration_set);");
}

stored_gram require_gram(const calibration_place& place, std::size_t expert) {
  std::optional<stored_gram> gram = read_gram(place, expert);
  if (gram) return std::move(*gram);
  throw error(sqlstate::object_not_in_prerequisite_state,
              "calibration set \"" + place.calibration_set + "\" has no Gram matrix of tensor \"" + place.tensor + "\"",
              {}, "CALL hartonomous.collect_calibration(model, calibration_set, statistics => 'gram');");
}

}  // namespace hartonomous::pg
