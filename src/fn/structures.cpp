// Structured pruning: the sizes of a model, the energies of rows and columns, and the atoms of tensors that have only
// some rows and columns of others (sql/internal/structures.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/guc.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/language_model.hpp"
#include "pg/model/model_tokenizer.hpp"
#include "pg/store/atom_selection.hpp"
#include "pg/store/calibration_statistics.hpp"
#include "pg/store/layer_row.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/influence.hpp"
#include "hartonomous/progress.hpp"
#include "hartonomous/span_repair.hpp"
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

selection_layers look_up_layers(Datum from, Datum revision, Datum into) {
  const query_result found = select(
      "SELECT f.model_id, f.layer_name, i.row_length, i.atom_size, i.parameter_count, i.layer_name "
      "FROM hartonomous.model_layers f, hartonomous_internal.layers_of_revision($3) i "
      "WHERE f.layer_id = $1 AND i.layer_id = $2",
      "model_layers", {{INT8OID, from}, {INT8OID, into}, {INT4OID, revision}});
  if (found.rows() != 1) throw error(sqlstate::undefined_object, "there is no such layer");
  const auto weights = static_cast<std::uint64_t>(found.bigint(0, 5, 0, most_weights));
  return {found.integer(0, 1), found.text(0, 2), layout_of_row(found, 0, 3, 4, weights, found.text(0, 6))};
}

// The refit of the columns of a tensor by the Gram matrix of its input, from arguments that name a calibration set, the
// revision whose statistics are used, and the damping; nothing without a set.
row_change refit_argument(FunctionCallInfo fcinfo, int argument, std::int32_t model, const std::string& tensor,
                          const std::vector<std::uint32_t>& kept) {
  if (PG_ARGISNULL(argument)) return {};
  if (PG_ARGISNULL(argument + 1) || PG_ARGISNULL(argument + 2)) {
    throw error(sqlstate::null_value_not_allowed, "the revision and the damping cannot be NULL");
  }
  const calibration_place place = find_calibrated(model, PG_GETARG_INT32(argument + 1),
                                                  text_argument(fcinfo, argument, "the calibration set"), tensor);
  const std::uint64_t n = place.columns;
  require_work_memory(triangle_size(n) * sizeof(float) + column_refit::bytes(n, kept.size()), "refitting columns");
  const std::optional<stored_gram> stored = read_gram(place, 0);
  if (!stored) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "there is no Gram matrix of the input of tensor \"" + tensor + "\"", {},
                "collect_calibration() collects it; refit => false does without.");
  }
  backend_interrupts interrupts;
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  return [refit = column_refit(stored->upper, n, kept, PG_GETARG_FLOAT8(argument + 2), pool, interrupts)](
             const std::uint64_t*, std::size_t count, const float* weights, float* out) {
    refit.apply(weights, count, out);
  };
}

std::string blocks_text(span<const std::int32_t> kept, std::int32_t before, std::uint32_t blocks) {
  const auto* const next = std::upper_bound(kept.begin(), kept.end(), before);
  const std::int32_t first = before + 1, last = next == kept.end() ? static_cast<std::int32_t>(blocks) - 1 : *next - 1;
  return first == last ? "block " + std::to_string(first)
                       : "blocks " + std::to_string(first) + " to " + std::to_string(last);
}

// The repair of a block by which the tensor is changed.
span_repair find_repair(FunctionCallInfo fcinfo, int argument, std::int32_t id, double damping) {
  const std::string corpus = text_argument(fcinfo, argument + 2, "the corpus");
  const integer_array_view kept(PG_GETARG_DATUM(argument));
  const std::int32_t before = PG_GETARG_INT32(argument + 1);
  language_model model(live_atoms(id));
  const std::vector<token_id> tokens = model.encode(corpus);
  const repair_text text = {tokens, model.context(fcinfo, argument + 3), model.begin()};
  progress_timer timer;
  double done = 0.0;
  const double all =
      repair_multiplications(model.network(), tokens.size(), kept.values(), static_cast<std::uint32_t>(before));
  model.network().watch([&](double multiplications) {
    done += multiplications;
    if (!timer.due()) return;
    const double part = std::min(1.0, done / all);
    const std::optional<double> left = timer.left(part);
    notice_progress(true, "repairing block " + std::to_string(before) + ": " +
                              std::to_string(static_cast<int>(part * 100.0)) + " %" +
                              (left ? ", " + duration_text(*left) + " left" : ""));
  });
  span_repair repair = repair_span(model.network(), model.tensors(), text, kept.values(),
                                   static_cast<std::uint32_t>(before), damping, work_memory() / 2);
  char errors[64];
  std::snprintf(errors, sizeof errors, "%.4f instead of %.4f", repair.error_after, repair.error_before);
  notice_progress(true, "block " + std::to_string(before) + " makes up for " +
                            blocks_text(kept.values(), before, model.network().config().blocks) +
                            ": relative error of the residual stream " + errors);
  return repair;
}

// The repair of the rows of a tensor for the blocks that are left out behind its own, from arguments that name the kept
// blocks, the tensor's block, the text and the length of its windows; nothing without blocks.
row_change repair_argument(FunctionCallInfo fcinfo, int argument, int damping, atom_reader& reader,
                           const stored_tensor& tensor) {
  if (PG_ARGISNULL(argument)) return {};
  if (PG_ARGISNULL(argument + 1) || PG_ARGISNULL(damping)) {
    throw error(sqlstate::null_value_not_allowed, "the block and the damping cannot be NULL");
  }
  const std::uint64_t columns = tensor.layout.row_length, size = tensor.layout.rows * columns;
  require_work_memory(size * sizeof(float), "repairing a block");
  const span_repair repair = find_repair(fcinfo, argument, reader.atoms().model(), PG_GETARG_FLOAT8(damping));
  if (repair.matrix != tensor.name) {
    throw error(sqlstate::invalid_parameter_value,
                "tensor \"" + tensor.name + "\" is not \"" + repair.matrix + "\", which is to be repaired");
  }
  auto weights = std::make_shared<buffer<float>>(size);
  atom_rows(reader, tensor, tensor.all_rows()).read(tensor.layout.rows, weights->data());
  thread_pool pool(static_cast<unsigned>(current_settings.threads));
  backend_interrupts interrupts;
  for (std::uint64_t row = 0; row < tensor.layout.rows; row += repair.width) {
    apply_repair(repair, weights->data() + row * columns, columns, pool, interrupts);
  }
  return [weights, columns](const std::uint64_t* numbers, std::size_t count, const float*, float* out) {
    for (std::size_t i = 0; i < count; ++i)
      std::copy_n(weights->data() + numbers[i] * columns, columns, out + i * columns);
  };
}

}  // namespace

HARTONOMOUS_FUNCTION(selected_atoms) {
  if (PG_ARGISNULL(0) || PG_ARGISNULL(1) || PG_ARGISNULL(2)) {
    throw error(sqlstate::null_value_not_allowed, "layers and the revision cannot be NULL");
  }
  result_rows rows(fcinfo);
  spi_session spi;
  const selection_layers layers = look_up_layers(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2));
  const model_tensors catalog(live_atoms(layers.model));
  const stored_tensor& tensor = catalog.tensor(layers.name);
  atom_reader reader(catalog.atoms());
  kept_structures kept = {kept_argument(fcinfo, 3, tensor.layout.rows, "rows"),
                          kept_argument(fcinfo, 4, tensor.layout.row_length, "columns")};
  row_change change = PG_ARGISNULL(5) ? repair_argument(fcinfo, 8, 7, reader, tensor)
                                      : refit_argument(fcinfo, 5, layers.model, layers.name, kept.columns);
  atom_selection selection(reader, tensor, layers.into, std::move(kept), std::move(change),
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
  if (PG_ARGISNULL(2)) throw error(sqlstate::null_value_not_allowed, "the number of matrices cannot be NULL");
  const auto matrices = static_cast<std::uint64_t>(std::max(PG_GETARG_INT32(2), 0));
  const MemoryContext context = CurrentMemoryContext;
  std::vector<double> of_rows, of_columns;
  {
    const locked_snapshot snapshot(id);
    spi_session spi;
    const model_tensors catalog(live_atoms(id));
    const stored_tensor& tensor = catalog.tensor(name);
    if (matrices == 0 || tensor.layout.rows % matrices != 0) {
      throw error(sqlstate::invalid_parameter_value,
                  "tensor \"" + name + "\" is not " + std::to_string(matrices) + " matrices");
    }
    const std::uint64_t columns = tensor.layout.row_length, height = tensor.layout.rows / matrices;
    atom_reader reader(catalog.atoms());
    atom_rows rows(reader, tensor, tensor.all_rows());
    of_rows.resize(tensor.layout.rows);
    of_columns.resize(matrices * columns);
    buffer<float> row(columns);
    for (std::size_t i = 0; i < of_rows.size(); ++i) {
      rows.read(1, row.data());
      double* const sums = of_columns.data() + i / height * columns;
      for (std::size_t j = 0; j < columns; ++j) {
        const double square = double{row[j]} * row[j];
        of_rows[i] += square;
        sums[j] += square;
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
    const transformer network(stored_hyperparameters(tensors.atoms()), tensors, 1, work_memory() / 16, interrupts);
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
                          Int32GetDatum(static_cast<int32>(vocabulary)),
                          text_array(fixed_structures(config))};
  const bool nulls[10] = {};
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

HARTONOMOUS_FUNCTION(block_influences) {
  const std::string corpus = text_argument(fcinfo, 1, "the corpus");
  const std::int32_t id = model_argument(fcinfo);
  if (PG_ARGISNULL(3)) throw error(sqlstate::null_value_not_allowed, "the blocks cannot be NULL");
  const MemoryContext context = CurrentMemoryContext;
  std::vector<double> influences;
  {
    const integer_array_view blocks(PG_GETARG_DATUM(3));
    const locked_snapshot snapshot(id);
    spi_session spi;
    language_model model(live_atoms(id));
    const std::vector<token_id> tokens = model.encode(corpus);
    influences = block_influences(model.network(), tokens, model.context(fcinfo, 2), model.begin(), blocks.values(),
                                  work_memory() / 2);
  }
  const context_scope scope(context);
  return float8_array(influences);
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
