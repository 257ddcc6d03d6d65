// Structured pruning: the sizes of a model, the energies of rows and columns, and the atoms of tensors that have only
// some rows and columns of others (sql/internal/structures.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/language_model.hpp"
#include "pg/model/model_tokenizer.hpp"
#include "pg/store/atom_selection.hpp"
#include "pg/store/layer_row.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "network/architecture.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// The numbers of an integer[] argument, checked; all there are if it is NULL.
std::vector<std::uint32_t> kept_argument(FunctionCallInfo fcinfo, int argument, std::uint64_t of, const char* what) {
  if (PG_ARGISNULL(argument)) {
    std::vector<std::uint32_t> all(of);
    std::iota(all.begin(), all.end(), 0U);
    return all;
  }
  const integer_array_view given(PG_GETARG_DATUM(argument));
  check_kept(given.values(), of, what);
  return {given.values().begin(), given.values().end()};
}

// The tensor with this layer_id, and the layout of the one that is made of it.
struct selection_layers {
  std::int32_t model;
  std::string name;
  atom_layout into;
};

selection_layers look_up_layers(Datum from, Datum into) {
  const query_result found = select(
      "SELECT f.model_id, f.layer_name, i.row_length, i.atom_size, i.parameter_count, i.layer_name "
      "FROM hartonomous.model_layers f, hartonomous.model_layers i WHERE f.layer_id = $1 AND i.layer_id = $2",
      "model_layers", {{INT8OID, from}, {INT8OID, into}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  const auto weights = static_cast<std::uint64_t>(found.bigint(0, 5, 0, most_weights));
  return {found.integer(0, 1), found.text(0, 2), layout_of_row(found, 0, 3, 4, weights, found.text(0, 6))};
}

Datum float8_array(const std::vector<double>& values) {
  return call([&] {
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (values.size() + 1)));
    for (std::size_t i = 0; i < values.size(); ++i) elements[i] = Float8GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, static_cast<int>(values.size()), FLOAT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

}  // namespace

HARTONOMOUS_FUNCTION(selected_atoms) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) throw error(sqlstate::null_value_not_allowed, "a layer cannot be NULL");
  result_rows rows(fcinfo);
  spi_session spi;
  const selection_layers layers = look_up_layers(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
  const model_tensors catalog(live_atoms(layers.model));
  const stored_tensor& tensor = catalog.tensor(layers.name);
  atom_reader reader(catalog.atoms());
  kept_structures kept = {kept_argument(fcinfo, 2, tensor.layout.rows, "rows"),
                          kept_argument(fcinfo, 3, tensor.layout.row_length, "columns")};
  atom_selection selection(reader, tensor, layers.into, std::move(kept),
                           static_cast<unsigned>(current_settings.threads));
  for (std::vector<selected_atom> atoms = selection.next(); !atoms.empty(); atoms = selection.next()) {
    for (const selected_atom& atom : atoms) {
      weights_varlena* data = new_weights(atom.storage, atom.count);
      std::memcpy(data->blocks(), atom.blocks.data(), atom.blocks.size());
      const Datum values[] = {Int32GetDatum(atom.sequence), Int32GetDatum(atom.from), PointerGetDatum(data)};
      const bool nulls[3] = {};
      rows.add(values, nulls);
      pfree(data);
    }
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(matrix_energies) {
  const std::string name = text_argument(fcinfo, 1, "the tensor");
  const std::int32_t id = model_argument(fcinfo);
  const MemoryContext context = CurrentMemoryContext;
  std::vector<double> of_rows, of_columns;
  {
    const locked_snapshot snapshot(id);
    spi_session spi;
    const model_tensors catalog(live_atoms(id));
    const stored_tensor& tensor = catalog.tensor(name);
    atom_reader reader(catalog.atoms());
    atom_rows rows(reader, tensor, tensor.all_rows());
    of_rows.resize(tensor.layout.rows);
    of_columns.resize(tensor.layout.row_length);
    buffer<float> row(tensor.layout.row_length);
    for (double& energy : of_rows) {
      rows.read(1, row.data());
      for (std::size_t j = 0; j < row.size(); ++j) {
        const double square = double{row[j]} * row[j];
        energy += square;
        of_columns[j] += square;
      }
    }
  }
  const context_scope scope(context);
  const Datum values[] = {float8_array(of_rows), float8_array(of_columns)};
  const bool nulls[2] = {};
  return composite_datum(fcinfo, values, nulls);
}

HARTONOMOUS_FUNCTION(network_sizes) {
  const std::int32_t id = model_argument(fcinfo);
  const MemoryContext context = CurrentMemoryContext;
  const auto read = [id] {
    const locked_snapshot snapshot(id);
    spi_session spi;
    backend_interrupts interrupts;
    model_tensors tensors(live_atoms(id));
    const transformer network(stored_hyperparameters(id), tensors, 1, work_memory() / 16, interrupts);
    return std::make_pair(network.config(), network.vocabulary());
  };
  const auto [config, vocabulary] = read();
  const context_scope scope(context);
  const Datum values[] = {text_datum(config.architecture->name),
                          Int32GetDatum(static_cast<int32>(config.blocks)),
                          Int32GetDatum(static_cast<int32>(config.heads)),
                          Int32GetDatum(static_cast<int32>(config.kv_heads)),
                          Int32GetDatum(static_cast<int32>(config.head_size)),
                          Int32GetDatum(static_cast<int32>(config.feed_forward)),
                          Int32GetDatum(static_cast<int32>(config.experts)),
                          Int32GetDatum(static_cast<int32>(config.experts_used)),
                          Int32GetDatum(static_cast<int32>(vocabulary))};
  const bool nulls[9] = {};
  return composite_datum(fcinfo, values, nulls);
}

HARTONOMOUS_FUNCTION(trim_vocabulary) {
  const std::string corpus = text_argument(fcinfo, 1, "the corpus");
  const std::int32_t id = model_argument(fcinfo);
  const MemoryContext context = CurrentMemoryContext;
  backend_interrupts interrupts;
  std::vector<std::int32_t> kept;
  std::string json;
  {
    spi_session spi;
    const auto words = model_tokenizer(id);
    gguf_metadata metadata;
    const query_result found = select("SELECT hartonomous_internal.gguf_metadata_of($1)::pg_catalog.text", "models",
                                      {{INT4OID, Int32GetDatum(id)}});
    const std::string stored = found.text(0, 1);
    require_work_memory(8 * stored.size(), "trimming a vocabulary");
    metadata_from_json(stored, metadata, interrupts);
    kept = tokens_to_keep(*words, metadata, encode_text(*words, corpus, true, false), interrupts);
    json = metadata_to_json(trimmed_vocabulary(metadata, kept, interrupts), interrupts);
  }
  const context_scope scope(context);
  ArrayType* numbers = new_integer_array(kept.size());
  std::copy(kept.begin(), kept.end(), integer_elements(numbers));
  const Datum values[] = {PointerGetDatum(numbers),
                          call([&] { return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.c_str())); })};
  const bool nulls[2] = {};
  return composite_datum(fcinfo, values, nulls);
}

HARTONOMOUS_FUNCTION(select_weights) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1)) {
    throw error(sqlstate::null_value_not_allowed, "weights and their number of columns cannot be NULL");
  }
  const weights_view given(PG_GETARG_DATUM(0));
  const auto columns = static_cast<std::uint64_t>(std::max(PG_GETARG_INT32(1), 1));
  if (given.count() % columns != 0) {
    throw error(sqlstate::invalid_parameter_value,
                std::to_string(given.count()) + " weights are no rows of " + std::to_string(columns));
  }
  const weights_floats values(given);
  const std::vector<std::uint32_t> kept_rows = kept_argument(fcinfo, 2, given.count() / columns, "rows"),
                                   kept_columns = kept_argument(fcinfo, 3, columns, "columns");
  require_work_memory(std::uint64_t{kept_rows.size()} * kept_columns.size() * sizeof(float), "selecting weights");
  buffer<float> kept(kept_rows.size() * kept_columns.size());
  float* to = kept.data();
  for (const std::uint32_t row : kept_rows) {
    for (const std::uint32_t column : kept_columns) *to++ = values.values()[row * columns + column];
  }
  PG_RETURN_POINTER(encode(given.id(), kept, {}));
}
