// The tokenizers of stored models, kept by the session.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "hartonomous/tokenizer.hpp"

namespace hartonomous::pg {

// Within an spi_session. The tokenizers used last are kept, and used again while the model's metadata is the same
// stored value: an UPDATE of another column leaves it alone. Errors: 42704 no such model, and those of tokenizer.hpp.
std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model);

// tokenizer::encode() for a text of any length: a cancel ends it, and error 53200 refuses a text whose tokenizing would
// take more than max_work_memory. The one way from a text to tokens.
std::vector<std::int32_t> encode_text(const tokenizer& words, std::string_view text, bool add_special,
                                      bool parse_special);

}  // namespace hartonomous::pg
