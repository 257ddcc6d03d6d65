// The tokenizers of stored models, kept by the session.
#pragma once

#include "pg/boundary.hpp"

#include <cstdint>
#include <memory>

#include "hartonomous/tokenizer.hpp"

namespace hartonomous::pg {

// Within an spi_session. The last one made is kept and used again while the model's row is the same version.
std::shared_ptr<const tokenizer> model_tokenizer(std::int32_t model);

}  // namespace hartonomous::pg
