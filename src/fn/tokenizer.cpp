// Tokenization and detokenization with the vocabulary of a stored model (sql/api/tokenizer.sql).
#include "pg/base/arrays.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/base/spi.hpp"
#include "pg/base/text.hpp"
#include "pg/model/model_tokenizer.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bytes/text.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

std::shared_ptr<const tokenizer> tokenizer_argument(FunctionCallInfo fcinfo) {
  spi_session spi;
  return model_tokenizer(PG_GETARG_INT32(0));
}

}  // namespace

HARTONOMOUS_FUNCTION(tokenize) {
  const auto tokenizer = tokenizer_argument(fcinfo);
  const text* value = call([&] { return PG_GETARG_TEXT_PP(1); });
  const std::string_view content(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
  const std::vector<std::int32_t> tokens = encode_text(*tokenizer, content, PG_GETARG_BOOL(2), PG_GETARG_BOOL(3));
  ArrayType* result = new_integer_array(tokens.size());
  std::copy(tokens.begin(), tokens.end(), integer_elements(result));
  PG_RETURN_ARRAYTYPE_P(result);
}

HARTONOMOUS_FUNCTION(detokenize) {
  const auto tokenizer = tokenizer_argument(fcinfo);
  const integer_array_view tokens(PG_GETARG_DATUM(1));
  backend_interrupts interrupts;
  std::string bytes = tokenizer->decode(tokens.values(), PG_GETARG_BOOL(2), interrupts);
  if (!is_pg_text(bytes)) bytes = to_pg_text(bytes);
  if (bytes.size() > MaxAllocSize - VARHDRSZ) {
    throw error(sqlstate::program_limit_exceeded, "the tokens make more text than a field can hold");
  }
  return text_datum(bytes);
}
