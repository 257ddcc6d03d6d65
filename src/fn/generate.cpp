// Text generation (sql/api/generate.sql).
#include "pg/base/aggregate.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/language_model.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <cstdint>

#include "hartonomous/generate.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

// The arguments of all functions here: model, prompt, max_tokens, temperature, top_k, top_p, seed, revision, region.
enum argument { of_model, prompt, max_tokens, temperature, top_k, top_p, seed, revision, region };

std::int32_t whole_number(FunctionCallInfo fcinfo, argument a, const char* name) {
  if (PG_ARGISNULL(a)) {
    throw error(sqlstate::null_value_not_allowed, std::string(name) + " cannot be NULL", {},
                "Leave it out for its default.");
  }
  const std::int32_t value = PG_GETARG_INT32(a);
  if (value < 0) throw error(sqlstate::invalid_parameter_value, std::string(name) + " must be 0 or more");
  return value;
}

sampling sampling_arguments(FunctionCallInfo fcinfo) {
  if (PG_ARGISNULL(temperature) || PG_ARGISNULL(top_p) || PG_ARGISNULL(seed)) {
    throw error(sqlstate::null_value_not_allowed, "temperature, top_p and seed cannot be NULL", {},
                "Leave them out for their defaults.");
  }
  return {PG_GETARG_FLOAT8(temperature), static_cast<std::uint32_t>(whole_number(fcinfo, top_k, "top_k")),
          PG_GETARG_FLOAT8(top_p), static_cast<std::uint64_t>(PG_GETARG_INT64(seed))};
}

// The atoms of the revision that are in the region; the region is copied to `context`.
atom_set atoms_arguments(FunctionCallInfo fcinfo, std::int32_t model, MemoryContext context) {
  atom_set atoms = atoms_argument(fcinfo, revision, model);
  if (PG_ARGISNULL(region)) return atoms;
  const context_scope scope(context);
  const Oid type = call([&] { return get_fn_expr_argtype(fcinfo->flinfo, region); });
  const Datum value = call([&] { return PointerGetDatum(PG_DETOAST_DATUM_COPY(PG_GETARG_DATUM(region))); });
  return atoms_in_region(std::move(atoms), {type, value});
}

// A text that is being generated.
struct generation {
  // Needs an spi_session; arguments that it keeps are copied to `context`.
  generation(FunctionCallInfo fcinfo, std::int32_t model_number, MemoryContext context)
      : model(atoms_arguments(fcinfo, model_number, context)), generator(make_generator(fcinfo, model)) {}

  static text_generator make_generator(FunctionCallInfo fcinfo, language_model& model) {
    const auto most = static_cast<std::uint32_t>(whole_number(fcinfo, max_tokens, "max_tokens"));
    std::vector<token_id> tokens = model.encode_prompt(text_argument(fcinfo, prompt, "the prompt"));
    require_work_memory(text_generator::bytes(model.network(), tokens.size(), most), "generating text");
    const tokenizer& tokenizer = model.tokenizer();
    return {model.network(), std::move(tokens), most, sampling_arguments(fcinfo),
            [&tokenizer](token_id token) { return tokenizer.ends_text(token); }};
  }

  // The text that the token adds.
  std::string text_of(token_id token) {
    std::string piece;
    model.tokenizer().append_piece(piece, token, false);
    return decoder.add(piece);
  }

  language_model model;
  text_generator generator;
  utf8_stream_decoder decoder;
  std::int32_t position = 0;
};

// In the first call of generate_tokens: sets the row type of the result and creates a generation that lives as long as
// the query.
void begin_stream(FunctionCallInfo fcinfo) {
  FuncCallContext* stream = call([&] { return SRF_FIRSTCALL_INIT(); });
  const MemoryContext context = stream->multi_call_memory_ctx;
  {
    context_scope scope(context);
    call([&] {
      TupleDesc row;
      if (get_call_result_type(fcinfo, nullptr, &row) != TYPEFUNC_COMPOSITE) elog(ERROR, "row type expected");
      stream->tuple_desc = BlessTupleDesc(CreateTupleDescCopy(row));
    });
  }
  const std::int32_t model = model_argument(fcinfo);
  lock_partitions(model);
  spi_session spi;
  stream->user_fctx = make_state<generation>(context, fcinfo, model, context);
}

}  // namespace

// Returns one token per call, so that a client that fetches from a cursor gets each token as soon as it exists.
HARTONOMOUS_FUNCTION(generate_tokens) {
  if (SRF_IS_FIRSTCALL()) begin_stream(fcinfo);
  FuncCallContext* stream = call([&] { return SRF_PERCALL_SETUP(); });
  auto* g = static_cast<generation*>(stream->user_fctx);
  std::optional<chosen_token> token;
  {
    g->model.tensors().atoms().require_unchanged();  // since the previous call
    spi_session spi;
    token = g->generator.next();
  }
  if (!token) return call([&]() -> Datum { SRF_RETURN_DONE(stream); });
  const Datum values[] = {Int32GetDatum(++g->position), Int32GetDatum(token->token),
                          text_datum(g->text_of(token->token)), Float8GetDatum(token->log_probability)};
  const bool nulls[4] = {};
  return call([&]() -> Datum {
    HeapTuple row = heap_form_tuple(stream->tuple_desc, const_cast<Datum*>(values), const_cast<bool*>(nulls));
    SRF_RETURN_NEXT(stream, HeapTupleGetDatum(row));
  });
}

HARTONOMOUS_FUNCTION(generate_text) {
  std::string text;
  {
    const std::int32_t model = model_argument(fcinfo);
    const locked_snapshot snapshot(model);
    spi_session spi;
    generation g(fcinfo, model, CurrentMemoryContext);
    while (const std::optional<chosen_token> token = g.generator.next()) text += g.text_of(token->token);
  }
  return text_datum(text);
}
