// Importance matrices of llama.cpp, and the importance of columns (sql/api/importance.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/files.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"
#include "pg/store/layer_importance.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/importance_file.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

Datum bigint_array(const std::vector<std::int64_t>& numbers) {
  return call([&] {
    auto* values = static_cast<Datum*>(palloc(sizeof(Datum) * (numbers.size() + 1)));
    for (std::size_t i = 0; i < numbers.size(); ++i) values[i] = Int64GetDatum(numbers[i]);
    return PointerGetDatum(
        construct_array(values, static_cast<int>(numbers.size()), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

// One dimension, or with experts two.
Datum importance_array(const std::vector<float>& values, std::int32_t experts) {
  const auto columns = static_cast<std::int32_t>(values.size() / static_cast<std::size_t>(experts));
  require_work_memory(values.size() * (sizeof(Datum) + sizeof(float)), "an array of the importance");
  return call([&] {
    auto* numbers = static_cast<Datum*>(palloc_extended(sizeof(Datum) * values.size() + 1, MCXT_ALLOC_HUGE));
    for (std::size_t i = 0; i < values.size(); ++i) numbers[i] = Float4GetDatum(values[i]);
    int dimensions[] = {experts, columns}, bounds[] = {1, 1};
    const bool one = experts == 1;
    return PointerGetDatum(construct_md_array(numbers, nullptr, one ? 1 : 2, dimensions + (one ? 1 : 0), bounds,
                                              FLOAT4OID, sizeof(float), true, TYPALIGN_INT));
  });
}

// Legacy files count chunks instead of tokens. If the size of a chunk is a power of two, multiplying by it is exact, so
// that the quotient is the same number as that of the file.
void count_tokens(importance_entry& entry, span<float> sums, std::int64_t chunk_size) {
  for (std::int64_t& count : entry.counts) count *= chunk_size;  // both have 31 bits
  for (float& sum : sums) {
    sum *= static_cast<float>(chunk_size);
    if (!std::isfinite(sum)) {
      throw error(sqlstate::numeric_value_out_of_range,
                  "a sum of squares of tensor \"" + entry.name + "\" is too large for a real");
    }
  }
}

importance_format file_format_named(std::string_view name) {
  if (name == "gguf") return importance_format::gguf;
  if (name == "dat") return importance_format::legacy;
  throw error(sqlstate::invalid_parameter_value, "unknown format \"" + std::string(name) + "\" of importance matrices",
              {}, "Formats are \"gguf\" and \"dat\".");
}

using make_output = std::function<std::unique_ptr<output>(std::uint64_t size)>;

struct export_request {
  std::int32_t model, revision, chunk_size;
  std::string calibration_set;
  importance_format format;
};

struct exported_layers {
  importance_file file;
  std::vector<std::int64_t> layers;  // in the order of file.entries
};

// The layers are ordered by name, as the writer orders them.
exported_layers read_outline(const export_request& asked) {
  const query_result found = select(
      "SELECT l.layer_id, l.layer_name, s.token_counts, s.columns, s.experts FROM hartonomous.calibration_stats s "
      "JOIN hartonomous_internal.layers_of_revision($3) l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id "
      "AND l.model_id OPERATOR(pg_catalog.=) s.model_id WHERE s.model_id OPERATOR(pg_catalog.=) $1 "
      "AND s.calibration_set OPERATOR(pg_catalog.=) $2 AND s.revision_id OPERATOR(pg_catalog.=) $3 "
      "ORDER BY l.layer_name COLLATE \"C\"",
      "calibration_stats",
      {{INT4OID, Int32GetDatum(asked.model)},
       {TEXTOID, text_datum(asked.calibration_set)},
       {INT4OID, Int32GetDatum(asked.revision)}});
  exported_layers outline;
  outline.file.format = asked.format;
  outline.file.datasets = {asked.calibration_set};
  outline.file.chunk_size = static_cast<std::uint64_t>(asked.chunk_size);
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    importance_entry entry;
    entry.name = found.text(i, 2);
    entry.counts = found.bigints(i, 3, 0);
    entry.sums =
        static_cast<std::uint64_t>(found.integer(i, 4, 1)) * static_cast<std::uint64_t>(found.integer(i, 5, 1));
    // The legacy format has no place for what saw no token.
    const bool seen = std::any_of(entry.counts.begin(), entry.counts.end(), [](std::int64_t n) { return n > 0; });
    if (asked.format == importance_format::legacy && !seen) continue;
    outline.file.entries.push_back(std::move(entry));
    outline.layers.push_back(found.bigint(i, 1));
  }
  return outline;
}

Datum export_importance(FunctionCallInfo fcinfo, const make_output& make) {
  const export_request asked = {PG_GETARG_INT32(0), PG_GETARG_INT32(2), PG_GETARG_INT32(4),
                                std::string(text_view_argument(fcinfo, 1)),
                                file_format_named(text_view_argument(fcinfo, 3))};
  if (asked.chunk_size < 1) {
    throw error(sqlstate::invalid_parameter_value, "chunk_size must be positive");
  }
  spi_session spi;
  backend_interrupts interrupts;
  const exported_layers outline = read_outline(asked);
  struct counter final : byte_sink {
    void write(const void*, std::size_t) override {}
  } nowhere;
  const auto out = make(importance_writer(nowhere, outline.file).file_size());
  importance_writer writer(*out, outline.file);
  writer.write_header();
  for (const std::int64_t layer : outline.layers) {
    interrupts.check();
    const auto statistics = stored_importance_sums(layer, asked.calibration_set, asked.revision);
    writer.write_sums(statistics ? span<const float>(statistics->sums) : span<const float>());
  }
  writer.write_end();
  return out->finish();
}

}  // namespace

HARTONOMOUS_FUNCTION(importance_entries) {
  const auto sources = source_argument(fcinfo, 0);
  const std::int32_t chunk_size = PG_GETARG_INT32(1);
  if (chunk_size < 1) throw error(sqlstate::invalid_parameter_value, "chunk_size must be positive");
  if (call([] { return GetDatabaseEncoding(); }) != PG_UTF8) {
    throw error(sqlstate::feature_not_supported, "importance matrices can be imported into UTF8 databases only");
  }
  backend_interrupts interrupts;
  importance_file file = read_importance_file(*sources.front(), interrupts);
  result_rows rows(fcinfo);
  for (importance_entry& entry : file.entries) {
    require_work_memory(2 * entry.sums * sizeof(float), "reading an importance matrix");
    auto* const sums = new_weights(format::F32, entry.sums);
    const span<float> numbers(reinterpret_cast<float*>(sums->blocks()), entry.sums);
    read_importance_sums(*sources.front(), entry, numbers, interrupts);
    if (file.format == importance_format::legacy) count_tokens(entry, numbers, chunk_size);
    const Datum values[] = {text_datum(entry.name), bigint_array(entry.counts), PointerGetDatum(sums)};
    const bool nulls[3] = {};
    rows.add(values, nulls);
    pfree(sums);
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(layer_importance) {
  const spi_session spi;
  const std::int64_t layer = PG_GETARG_INT64(0);
  const std::string calibration_set(text_view_argument(fcinfo, 1));
  const std::int32_t revision = PG_GETARG_INT32(2);
  const std::optional<importance_sums> statistics = stored_importance_sums(layer, calibration_set, revision);
  if (!statistics) PG_RETURN_NULL();
  std::vector<float> means(statistics->sums.size());
  mean_squares(statistics->sums, statistics->counts, means);
  return importance_array(means, statistics->experts);
}

HARTONOMOUS_FUNCTION(export_importance_to_file) {
  const std::string path = call([&] { return text_to_cstring(PG_GETARG_TEXT_PP(5)); });
  return export_importance(fcinfo, [&](std::uint64_t) { return make_file_output(path); });
}

HARTONOMOUS_FUNCTION(export_importance_to_bytea) {
  const MemoryContext context = CurrentMemoryContext;
  return export_importance(fcinfo, [&](std::uint64_t size) { return make_bytea_output(size, context); });
}
