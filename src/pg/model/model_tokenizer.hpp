// The tokenizers of stored models, cached by the session.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "hartonomous/tokenizer.hpp"

namespace hartonomous::pg {

// Needs an spi_session. The most recently used tokenizers are cached. They are used again while the stored value of the
// model's metadata is the same, which an UPDATE of other columns does not change. `structure` is one of the model that
// is not live. Errors: 42704 if there is no such model, and those of tokenizer.hpp.
std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model,
                                                 std::optional<std::int32_t> structure = std::nullopt);

// tokenizer::encode() for texts of any length: it can be cancelled, and raises 53200 if tokenizing the text would take
// more than max_work_memory. All texts are tokenized by this function.
std::vector<std::int32_t> encode_text(const tokenizer& tokenizer, std::string_view text, bool add_special,
                                      bool parse_special);

}  // namespace hartonomous::pg
