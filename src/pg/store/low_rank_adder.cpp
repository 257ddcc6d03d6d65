// Adapters folded into atoms (low_rank_adder.hpp).
#include "pg/store/low_rank_adder.hpp"

#include "pg/base/guc.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/progress_notice.hpp"
#include "pg/base/spi.hpp"

#include <limits>
#include <string>

#include "hartonomous/codec.hpp"
#include "hartonomous/low_rank.hpp"

namespace hartonomous::pg {

namespace {

// The live partition of a model, whose atoms `layer` must be among.
Oid partition_of(std::int32_t model, std::int64_t layer) {
  const query_result found = select(
      "SELECT hartonomous_internal.live_partition(l.model_id) FROM hartonomous.model_layers l "
      "WHERE l.layer_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2",
      "model_layers", {{INT8OID, Int64GetDatum(layer)}, {INT4OID, Int32GetDatum(model)}});
  if (found.rows() != 1) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the adapter no longer has the tensor that is to be merged");
  }
  return DatumGetObjectId(found.value(0, 1, REGCLASSOID));
}

}  // namespace

low_rank_adder::low_rank_adder(Oid source, std::int64_t layer, const tensor_operation& operation)
    : matrix_(find_matrix(source, layer, std::string(), 0)),
      adapter_(operation.adapter),
      scale_(*operation.scale),
      pool_(static_cast<unsigned>(current_settings.threads)) {
  rows_.layout = matrix_.layout;
  b_ = read_factor(operation.factor_b, "B");
  a_ = read_factor(operation.factor_a, "A");
  rank_ = b_.size() / matrix_.layout.rows;
  const bool fits = rank_ > 0 && rank_ * matrix_.layout.rows == b_.size() &&
                    rank_ * matrix_.layout.row_length == a_.size() && matrix_.place.experts == 1;
  if (!fits) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "the adapter does not fit tensor \"" + matrix_.place.tensor + "\"");
  }
}

std::vector<float> low_rank_adder::read_factor(std::int64_t layer, const char* what) const {
  const stored_matrix factor = find_matrix(partition_of(adapter_, layer), layer, std::string(), 0);
  const row_range all = {0, factor.layout.rows};
  require_work_memory(factor.layout.rows * factor.layout.row_length * sizeof(float), "reading an adapter");
  if (list_atoms(factor.atoms(), all, -std::numeric_limits<float>::infinity()).empty()) {
    throw error(
        sqlstate::object_not_in_prerequisite_state,
        "matrix " + std::string(what) + " of the adapter, tensor \"" + factor.place.tensor + "\", has no atoms");
  }
  return read_matrix(factor.atoms(), all, atoms_seen::by_snapshot);
}

// All atoms of a panel have one format.
void low_rank_adder::find_format(std::uint64_t count) {
  bool known = false;
  for (const listed_atom& atom :
       list_atoms(matrix_.atoms(), {next_row_, count}, -std::numeric_limits<float>::infinity())) {
    const format_traits& traits = traits_of(atom.storage);
    if (!traits.writable || (known && atom.storage != rows_.f)) {
      throw error(sqlstate::invalid_parameter_value,
                  "an adapter cannot be merged into tensor \"" + matrix_.place.tensor + "\": atom " +
                      std::to_string(atom.number) + " is in " + traits.name,
                  known ? "Others are in " + std::string(traits_of(rows_.f).name) + "." : std::string(),
                  "Merge it before the model is quantized.");
    }
    rows_.f = atom.storage;
    known = true;
  }
}

void low_rank_adder::report_progress() {
  const double part = static_cast<double>(next_row_) / static_cast<double>(matrix_.layout.rows);
  const bool due = timer_.due();
  notice_progress(due, "merging into tensor \"" + matrix_.place.tensor +
                           "\": " + std::to_string(static_cast<int>(100 * part)) + " %, " +
                           duration_text(timer_.left(part).value_or(0)) + " left");
}

bool low_rank_adder::next() {
  const atom_layout& layout = matrix_.layout;
  if (next_row_ >= layout.rows) return false;
  const std::uint64_t count = matrix_.panel_from(next_row_), n = layout.row_length;
  rows_.first = static_cast<std::int32_t>(layout.first_atom(next_row_));
  rows_.end = static_cast<std::int32_t>(layout.end_atom(next_row_ + count));
  find_format(count);
  require_work_memory(count * n * 2 * sizeof(float), "merging rows");
  weights_ = read_matrix(matrix_.atoms(), {next_row_, count}, atoms_seen::by_snapshot);
  add_low_rank(weights_, {b_.data() + next_row_ * rank_, count * rank_}, a_, rank_, scale_, pool_, interrupts_);
  const std::uint64_t row_bytes = bytes_of(rows_.f, n);
  blocks_.resize(count * row_bytes);
  pool_.run(count, interrupts_, [&](std::size_t r) {
    no_interrupts none;
    quantize(rows_.f, {weights_.data() + r * n, n}, {}, blocks_.data() + r * row_bytes, none);
  });
  rows_.blocks = blocks_.data();
  next_row_ += count;
  report_progress();
  return true;
}

}  // namespace hartonomous::pg
