// Making and keeping tokenizers (model_tokenizer.hpp).
#include "pg/model_tokenizer.hpp"

#include "pg/interrupts.hpp"
#include "pg/spi.hpp"

#include "hartonomous/gguf.hpp"

namespace hartonomous::pg {
namespace {

struct kept_tokenizer {
  std::string version;  // of the model's row
  std::shared_ptr<const tokenizer> made;
};

}  // namespace

std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model) {
  static kept_tokenizer* kept = nullptr;  // never destroyed: the process ends without unwinding
  if (kept == nullptr) kept = new kept_tokenizer;
  Oid types[] = {INT4OID};
  Datum values[] = {Int32GetDatum(model)};
  call([&] {
    SPI_execute_with_args(
        "SELECT pg_catalog.concat_ws(' ', m.tableoid, pg_catalog.pg_relation_filenode(m.tableoid), m.ctid, m.xmin) "
        "FROM hartonomous.models m WHERE m.model_id = $1",
        1, types, values, nullptr, true, 0);
  });
  const std::string version = spi_text(0, 1);
  if (kept->made == nullptr || kept->version != version) {
    call([&] {
      SPI_execute_with_args("SELECT hartonomous.gguf_metadata_of($1)::text", 1, types, values, nullptr, true, 0);
    });
    backend_interrupt interrupts;
    gguf_metadata metadata;
    metadata_from_json(spi_text(0, 1), metadata, interrupts);
    kept->made = tokenizer::create(metadata, interrupts);
    kept->version = version;
  }
  return kept->made;
}

}  // namespace hartonomous::pg
