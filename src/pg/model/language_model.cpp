// Loading stored language models (language_model.hpp).
#include "pg/model/language_model.hpp"

#include "pg/base/guc.hpp"
#include "pg/model/model_tokenizer.hpp"
#include "pg/store/tensor_cache.hpp"

#include <algorithm>
#include <cstdint>

#include "hartonomous/gguf.hpp"

namespace hartonomous::pg {
namespace {

atom_set beginning_call(atom_set atoms) {
  tensor_cache::begin_call();
  return atoms;
}

}  // namespace

// Reads the metadata without the vocabulary, which can take many megabytes.
hyperparameters stored_hyperparameters(const atom_set& of) {
  const query_result found =
      of.structure() ? select("SELECT hartonomous_internal.hyperparameters($1, $2)::pg_catalog.text", "models",
                              {{INT4OID, Int32GetDatum(of.model())}, {INT4OID, Int32GetDatum(*of.structure())}})
                     : select("SELECT hartonomous_internal.hyperparameters($1)::pg_catalog.text", "models",
                              {{INT4OID, Int32GetDatum(of.model())}});
  gguf_metadata metadata;
  metadata_from_json(found.text(0, 1), metadata);
  return read_hyperparameters(metadata);
}

language_model::language_model(atom_set atoms)
    : tensors_(beginning_call(std::move(atoms))),
      network_(stored_hyperparameters(tensors_.atoms()), tensors_, static_cast<unsigned>(current_settings.threads),
               work_memory() / 16, interrupts_),
      tokenizer_(model_tokenizer(tensors_.model(), tensors_.atoms().structure())) {}

std::vector<token_id> language_model::encode(std::string_view text) {
  return encode_text(*tokenizer_, text, true, false);
}

std::vector<token_id> language_model::encode_prompt(std::string_view text) {
  std::vector<token_id> tokens = encode_text(*tokenizer_, text, true, true);
  if (tokenizer_->adds_eos() && !tokens.empty()) tokens.pop_back();
  return tokens;
}

std::optional<token_id> language_model::begin() const {
  return tokenizer_->adds_bos() ? std::optional<token_id>(tokenizer_->bos()) : std::nullopt;
}

std::uint32_t language_model::context(FunctionCallInfo fcinfo, int argument) const {
  constexpr std::uint32_t usual = 512;
  const std::uint32_t most = network_.config().context;
  if (PG_ARGISNULL(argument)) return std::min(usual, most);
  const std::int32_t wanted = PG_GETARG_INT32(argument);
  if (wanted < 0 || static_cast<std::uint32_t>(wanted) > most) {
    throw error(sqlstate::invalid_parameter_value,
                "n_ctx is " + std::to_string(wanted) + ", but the model's context is " + std::to_string(most));
  }
  return static_cast<std::uint32_t>(wanted);
}

}  // namespace hartonomous::pg
