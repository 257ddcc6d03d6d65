// The tokenizers of stored models, kept by the session.
#pragma once

#include "pg/boundary.hpp"

#include <cstdint>
#include <memory>

#include "hartonomous/tokenizer.hpp"

namespace hartonomous::pg {

// Within an spi_session. The tokenizers used last are kept, and used again while the model's metadata is the same
// stored value: an UPDATE of another column leaves it alone. Errors: 42704 no such model, and those of tokenizer.hpp.
std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model);

}  // namespace hartonomous::pg
