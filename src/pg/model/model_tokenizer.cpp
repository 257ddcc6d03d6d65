// Creating and caching tokenizers (model_tokenizer.hpp).
#include "pg/model/model_tokenizer.hpp"

#include "pg/base/interrupts.hpp"
#include "pg/base/memory.hpp"
#include "pg/base/spi.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/gguf.hpp"

namespace hartonomous::pg {
namespace {

constexpr std::size_t most_kept = 4;

struct kept_tokenizer {
  std::int32_t model;
  std::optional<std::int32_t> structure;
  std::string stored;  // the result of identity_of()
  std::shared_ptr<const tokenizer> made;
};

// The most recently used is first. Never destroyed, because the process exits without unwinding.
std::vector<kept_tokenizer>& kept_tokenizers() {
  static auto* kept = new std::vector<kept_tokenizer>;
  return *kept;
}

// Distinguishes stored values without reading them: a value that is stored out of line by its TOAST pointer, which
// changes with any UPDATE of the value, any other value by its bytes.
std::string identity_of(Datum value) {
  const auto* bytes = reinterpret_cast<const varlena*>(DatumGetPointer(value));
  if (!VARATT_IS_EXTERNAL_ONDISK(bytes)) return {reinterpret_cast<const char*>(bytes), VARSIZE_ANY(bytes)};
  varatt_external place;
  VARATT_EXTERNAL_GET_POINTER(place, bytes);
  return {reinterpret_cast<const char*>(&place), sizeof place};
}

void require_row(const query_result& found, std::int32_t model) {
  if (found.rows() == 0) {
    throw error(sqlstate::undefined_object, "model " + std::to_string(model) + " does not exist", {},
                "SELECT * FROM hartonomous.list_models(); shows those there are.");
  }
}

query_result select_metadata(const std::string& columns, std::int32_t model, std::optional<std::int32_t> structure) {
  const char* const of_model = " m WHERE m.model_id OPERATOR(pg_catalog.=) $1";
  if (!structure) {
    return select(("SELECT " + columns + " FROM hartonomous.models" + of_model).c_str(), "models",
                  {{INT4OID, Int32GetDatum(model)}});
  }
  return select(("SELECT " + columns + " FROM hartonomous.model_structures" + of_model +
                 " AND m.structure_id OPERATOR(pg_catalog.=) $2")
                    .c_str(),
                "model_structures", {{INT4OID, Int32GetDatum(model)}, {INT4OID, Int32GetDatum(*structure)}});
}

std::shared_ptr<const tokenizer> make_tokenizer(std::int32_t model, std::optional<std::int32_t> structure,
                                                std::uint64_t stored_bytes) {
  // For the metadata as text, its parsed form, and the tokenizer.
  require_work_memory(6 * stored_bytes, "reading a vocabulary");
  const query_result found =
      select_metadata("m.metadata OPERATOR(pg_catalog.->>) 'format', m.metadata::pg_catalog.text", model, structure);
  require_row(found, model);
  backend_interrupts interrupts;
  gguf_metadata metadata;  // stays empty if the model was not imported from GGUF
  const bool from_gguf = found.optional(0, 1, TEXTOID) && found.text(0, 1) == "gguf";
  if (from_gguf) metadata_from_json(found.text(0, 2), metadata, interrupts);
  return tokenizer::create(metadata, interrupts);
}

}  // namespace

std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model, std::optional<std::int32_t> structure) {
  const query_result found = select_metadata("m.metadata", model, structure);
  require_row(found, model);
  const std::optional<Datum> value = found.optional(0, 1, JSONBOID);
  if (!value) {
    throw error(sqlstate::invalid_parameter_value, "the model has no tokenizer", {},
                "Import it from GGUF, or from a checkpoint with its tokenizer.json.");
  }
  const Datum metadata = *value;
  const std::string stored = identity_of(metadata);
  std::vector<kept_tokenizer>& kept = kept_tokenizers();
  const auto known = std::find_if(
      kept.begin(), kept.end(), [&](const kept_tokenizer& k) { return k.model == model && k.structure == structure; });
  if (known != kept.end() && known->stored == stored) {
    std::rotate(kept.begin(), known, known + 1);
    return kept.front().made;
  }
  if (known != kept.end()) kept.erase(known);
  kept_tokenizer fresh = {model, structure, stored,
                          make_tokenizer(model, structure, call([&] { return toast_raw_datum_size(metadata); }))};
  if (kept.size() == most_kept) kept.pop_back();
  kept.insert(kept.begin(), std::move(fresh));
  return kept.front().made;
}

std::vector<std::int32_t> encode_text(const tokenizer& tokenizer, std::string_view text, bool add_special,
                                      bool parse_special) {
  require_work_memory(hartonomous::tokenizer::encode_memory(text), "tokenizing the text");
  backend_interrupts interrupts;
  return tokenizer.encode(text, add_special, parse_special, interrupts);
}

}  // namespace hartonomous::pg
