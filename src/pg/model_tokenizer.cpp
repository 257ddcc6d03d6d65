// Making and keeping tokenizers (model_tokenizer.hpp).
#include "pg/model_tokenizer.hpp"

#include "pg/interrupts.hpp"
#include "pg/memory.hpp"
#include "pg/spi.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/gguf.hpp"

namespace hartonomous::pg {
namespace {

constexpr std::size_t most_kept = 4;

struct kept_tokenizer {
  std::int32_t model;
  std::string stored;  // as identity_of()
  std::shared_ptr<const tokenizer> made;
};

// The last used in front. Never destroyed: the process ends without unwinding.
std::vector<kept_tokenizer>& kept_tokenizers() {
  static auto* kept = new std::vector<kept_tokenizer>;
  return *kept;
}

// What tells one stored value from another without reading it: the place of one that is stored out of line (an UPDATE
// that changes it gives it a new one), the bytes of one that is not.
std::string identity_of(Datum value) {
  const auto* bytes = reinterpret_cast<const varlena*>(DatumGetPointer(value));
  if (!VARATT_IS_EXTERNAL_ONDISK(bytes)) return {reinterpret_cast<const char*>(bytes), VARSIZE_ANY(bytes)};
  varatt_external place;
  VARATT_EXTERNAL_GET_POINTER(place, bytes);
  return {reinterpret_cast<const char*>(&place), sizeof place};
}

// The row of the model with this query's columns; error 42704 when there is none.
void select_model(const char* query, std::int32_t model) {
  Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(model)};
  call([&] {
    if (SPI_execute_with_args(query, 1, types, values, nullptr, true, 0) != SPI_OK_SELECT) {
      elog(ERROR, "query failed: %s", query);
    }
  });
  if (SPI_processed == 0) throw error("42704", "model " + std::to_string(model) + " does not exist");
}

std::shared_ptr<const tokenizer> make_tokenizer(std::int32_t model, std::uint64_t stored_bytes) {
  // The metadata as text, as it is parsed, and what is made of it.
  require_work_memory(6 * stored_bytes, "reading a vocabulary");
  select_model(
      "SELECT m.metadata OPERATOR(pg_catalog.->>) 'format', m.metadata::pg_catalog.text "
      "FROM hartonomous.models m WHERE m.model_id OPERATOR(pg_catalog.=) $1",
      model);
  backend_interrupt interrupts;
  gguf_metadata metadata;  // of a model that is not from GGUF: empty
  if (spi_text(0, 1) == "gguf") metadata_from_json(spi_text(0, 2), metadata, interrupts);
  return tokenizer::create(metadata, interrupts);
}

}  // namespace

std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model) {
  select_model("SELECT m.metadata FROM hartonomous.models m WHERE m.model_id OPERATOR(pg_catalog.=) $1", model);
  bool is_null;
  const Datum metadata = spi_field(0, 1, &is_null);
  if (is_null) throw error(sqlstate::invalid_parameter_value, "the model has no tokenizer");
  const std::string stored = identity_of(metadata);
  std::vector<kept_tokenizer>& kept = kept_tokenizers();
  const auto found = std::find_if(kept.begin(), kept.end(), [&](const kept_tokenizer& k) { return k.model == model; });
  if (found != kept.end() && found->stored == stored) {
    std::rotate(kept.begin(), found, found + 1);
    return kept.front().made;
  }
  if (found != kept.end()) kept.erase(found);
  kept_tokenizer fresh = {model, stored, make_tokenizer(model, call([&] { return toast_raw_datum_size(metadata); }))};
  if (kept.size() == most_kept) kept.pop_back();
  kept.insert(kept.begin(), std::move(fresh));
  return kept.front().made;
}

}  // namespace hartonomous::pg
