// Calibration (sql/api/calibration.sql): comparing texts, and collecting and reading statistics.
#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/base/weights.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/calibration_job.hpp"
#include "pg/model/language_model.hpp"
#include "pg/store/calibration_statistics.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <map>
#include <string_view>

#include "hartonomous/calibration.hpp"
#include "hartonomous/common_passage.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// The number, from 1, of the first character that begins at or after a byte.
Datum character_at(std::string_view text, std::size_t byte) {
  return Int32GetDatum(1 + call([&] { return pg_mbstrlen_with_len(text.data(), static_cast<int>(byte)); }));
}

// The first tokens of a text argument; all of them if `most` is NULL.
std::vector<token_id> first_tokens(FunctionCallInfo fcinfo, language_model& model, int text, int most) {
  std::vector<token_id> tokens = model.encode(text_argument(fcinfo, text, "the text"));
  if (!PG_ARGISNULL(most)) {
    tokens.resize(std::min(tokens.size(), static_cast<std::size_t>(std::max(0, PG_GETARG_INT32(most)))));
  }
  return tokens;
}

ArrayType* bigint_array(const std::vector<std::uint64_t>& values) {
  std::vector<Datum> elements;
  for (const std::uint64_t value : values) elements.push_back(Int64GetDatum(static_cast<int64>(value)));
  return call([&] {
    return construct_array(elements.data(), static_cast<int>(elements.size()), INT8OID, sizeof(int64), FLOAT8PASSBYVAL,
                           TYPALIGN_DOUBLE);
  });
}

// Writes the statistics of a step to the tables of the store.
class stored_statistics final : public calibration_sink {
 public:
  stored_statistics(language_model& model, std::int32_t revision, std::string set, std::uint32_t n_ctx,
                    std::uint64_t tokens, statistics_kind kind)
      : model_(model),
        revision_(revision),
        set_(std::move(set)),
        n_ctx_(n_ctx),
        tokens_(tokens),
        kind_(kind),
        inputs_(linear_inputs(model.network())) {}

  void sums(span<const input_sums> of_step) override {
    std::map<std::string, const input_sums*> found;
    for (const input_sums& s : of_step) found[s.tensor] = &s;
    for (const linear_input& input : inputs_) {
      const auto sums = found.find(input.shared_with);
      if (sums != found.end()) add(input, *sums->second);
    }
  }

  void panel(const gram_panel& p) override { add(p, false); }
  void gradient_panel(const gram_panel& p) override { add(p, true); }

 private:
  std::int64_t layer(const std::string& tensor) const { return model_.tensors().tensor(tensor).layer; }

  void add(const gram_panel& p, bool of_gradients) {
    const std::size_t size = p.values.size() * sizeof(float);
    auto* bytes = static_cast<bytea*>(allocate(size + VARHDRSZ));
    SET_VARSIZE(bytes, size + VARHDRSZ);
    std::memcpy(VARDATA(bytes), p.values.data(), size);
    execute("SELECT hartonomous_internal.add_gram_panel($1, $2, $3, $4, $5, $6, $7, $8)", "calibration_grams",
            {{INT4OID, Int32GetDatum(model_.tensors().model())},
             {INT4OID, Int32GetDatum(revision_)},
             {TEXTOID, text_datum(set_)},
             {INT8OID, Int64GetDatum(layer(p.tensor))},
             {BOOLOID, BoolGetDatum(of_gradients)},
             {INT4OID, Int32GetDatum(static_cast<int32>(p.expert))},
             {INT4OID, Int32GetDatum(static_cast<int32>(p.first_column))},
             {BYTEAOID, PointerGetDatum(bytes)}});
    pfree(bytes);
  }

  void add(const linear_input& input, const input_sums& sums) {
    weights_varlena* const squares = new_weights(format::F32, sums.squares.size());
    auto* const values = reinterpret_cast<float*>(squares->blocks());
    std::transform(sums.squares.begin(), sums.squares.end(), values, [](double s) { return static_cast<float>(s); });
    ArrayType* const counts = bigint_array(sums.token_counts);
    const Datum norms = float8_array(sums.router_weighted_norms);
    const std::int64_t gram = kind_ != statistics_kind::diagonal ? layer(input.shared_with) : 0;
    execute("SELECT hartonomous_internal.add_input_statistics($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            "calibration_stats",
            {{INT4OID, Int32GetDatum(model_.tensors().model())},
             {INT4OID, Int32GetDatum(revision_)},
             {TEXTOID, text_datum(set_)},
             {INT8OID, Int64GetDatum(layer(input.tensor))},
             {INT8OID, Int64GetDatum(gram)},
             {INT4OID, Int32GetDatum(static_cast<int32>(n_ctx_))},
             {INT8OID, Int64GetDatum(static_cast<int64>(tokens_))},
             {INT8ARRAYOID, PointerGetDatum(counts)},
             {call([] { return weights_type(); }), PointerGetDatum(squares)},
             {FLOAT8ARRAYOID, norms}});
    pfree(DatumGetPointer(norms));
    pfree(counts);
    pfree(squares);
  }

  language_model& model_;
  std::int32_t revision_;
  std::string set_;
  std::uint32_t n_ctx_;
  std::uint64_t tokens_;
  statistics_kind kind_;
  std::vector<linear_input> inputs_;
};

}  // namespace

HARTONOMOUS_FUNCTION(common_passage) {
  const std::string_view a = text_view_argument(fcinfo, 0), b = text_view_argument(fcinfo, 1);
  require_work_memory(common_passage_memory(a, b), "comparing the texts");
  backend_interrupts interrupts;
  const std::optional<hartonomous::common_passage> found = find_common_passage(a, b, interrupts);
  if (!found) PG_RETURN_NULL();
  const bool nulls[3] = {};
  const Datum values[] = {character_at(a, found->first_left), character_at(b, found->first_right),
                          Int64GetDatum(static_cast<int64>(found->length))};
  return composite_datum(fcinfo, values, nulls);
}

// One row for each matrix that has an input, each with the length of windows and the number of tokens.
HARTONOMOUS_FUNCTION(calibration_inputs) {
  result_rows rows(fcinfo);
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  language_model model(atoms_argument(fcinfo, 1, id));
  const std::uint32_t n_ctx = model.context(fcinfo, 2);
  const std::vector<token_id> tokens = first_tokens(fcinfo, model, 3, 4);
  const calibration checked(tokens, n_ctx, model.begin());
  for (const linear_input& input : linear_inputs(model.network())) {
    const Datum values[] = {Int32GetDatum(static_cast<int32>(input.step)),
                            Int64GetDatum(model.tensors().tensor(input.tensor).layer),
                            Int64GetDatum(model.tensors().tensor(input.shared_with).layer),
                            Int32GetDatum(static_cast<int32>(input.columns)),
                            Int32GetDatum(static_cast<int32>(input.experts)),
                            Int32GetDatum(static_cast<int32>(n_ctx)),
                            Int64GetDatum(static_cast<int64>(tokens.size()))};
    const bool nulls[7] = {};
    rows.add(values, nulls);
  }
  PG_RETURN_NULL();
}

HARTONOMOUS_FUNCTION(collect_calibration_step) {
  const std::int32_t id = model_argument(fcinfo), revision = PG_GETARG_INT32(1);
  const std::string set = text_argument(fcinfo, 5, "the calibration set");
  const auto step = static_cast<std::uint32_t>(PG_GETARG_INT32(8));
  const integer_array_view steps(PG_GETARG_DATUM(7));
  const std::string_view statistics = text_view_argument(fcinfo, 6);
  const statistics_kind kind = statistics == "fisher" ? statistics_kind::fisher
                               : statistics == "gram" ? statistics_kind::gram
                                                      : statistics_kind::diagonal;
  const locked_snapshot snapshot(id);
  spi_session spi;
  language_model model(atoms_of_revision(id, revision));
  const std::uint32_t n_ctx = model.context(fcinfo, 2);
  const std::string key = std::to_string(id) + ' ' + std::to_string(revision) + ' ' + std::to_string(n_ctx) + ' ' +
                          std::to_string(PG_GETARG_INT32(4)) + ' ' + std::string(statistics) + ' ' + set;
  const calibration_request request = {key, {steps.values().begin(), steps.values().end()}, kind};
  std::unique_ptr<calibration_job> job = calibration_job::resume(model, request, step, [&] {
    return calibration(first_tokens(fcinfo, model, 3, 4), n_ctx, model.begin(), kind == statistics_kind::fisher);
  });
  stored_statistics sink(model, revision, set, n_ctx, static_cast<std::uint64_t>(PG_GETARG_INT32(4)), request.kind);
  job->collect(step, sink);
  if (step < request.steps.back()) calibration_job::keep(std::move(job));
  PG_RETURN_VOID();
}

// The upper triangle of a stored Gram matrix, row after row.
HARTONOMOUS_FUNCTION(gram_matrix) {
  const MemoryContext context = CurrentMemoryContext;
  const std::string tensor = text_argument(fcinfo, 1, "the tensor"), set = text_argument(fcinfo, 2, "the set");
  spi_session spi;
  const calibration_place place = find_calibrated(PG_GETARG_INT32(0), PG_GETARG_INT32(3), set, tensor);
  const std::int32_t expert = PG_GETARG_INT32(4);
  if (expert < 0 || static_cast<std::size_t>(expert) >= place.experts) {
    throw error(sqlstate::invalid_parameter_value, "tensor \"" + tensor + "\" has no expert " + std::to_string(expert));
  }
  const std::optional<stored_gram> found =
      PG_GETARG_BOOL(5) ? read_gradient_gram(place, place.rows) : read_gram(place, static_cast<std::size_t>(expert));
  if (!found) PG_RETURN_NULL();
  const context_scope scope(context);
  ArrayType* const result = new_real_array(found->upper.size());
  std::copy(found->upper.begin(), found->upper.end(), elements(result));
  PG_RETURN_POINTER(result);
}
