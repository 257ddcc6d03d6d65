// A stored language model, ready to run: hyperparameters, weights, tokenizer.
#pragma once

#include "pg/base/interrupts.hpp"
#include "pg/base/text.hpp"
#include "pg/model/model_tensors.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/tokenizer.hpp"

namespace hartonomous::pg {

// Within an spi_session, also each later use. Errors: 0A000 it is no language model that is known here, or its tensors
// are carried in formats that cannot be read; those of network.hpp and tokenizer.hpp.
class language_model {
 public:
  explicit language_model(atom_set atoms);

  transformer& network() noexcept { return network_; }
  const tokenizer& words() const noexcept { return *tokenizer_; }
  model_tensors& tensors() noexcept { return tensors_; }

  // Text as tokens, with those of begin and end where the model asks for them. Error 22023 when the vocabulary has
  // more tokens than the embedding.
  std::vector<token_id> encode(std::string_view text);
  // The same for a text that is to go on: without a token of end, and with control tokens where they are spelled out.
  std::vector<token_id> encode_prompt(std::string_view text);
  // The token that windows of a text begin with.
  std::optional<token_id> begin() const;
  // NULL stands for the smaller of 512 and the model's context. Error 22023 beyond that context.
  std::uint32_t context(FunctionCallInfo fcinfo, int argument) const;

 private:
  backend_interrupts interrupts_;
  model_tensors tensors_;
  transformer network_;
  std::shared_ptr<const tokenizer> tokenizer_;
};

// What evaluation may allocate.
std::uint64_t work_memory() noexcept;

// Argument 0, a model (type regmodel) as its number; 42704 when it is NULL.
std::int32_t model_argument(FunctionCallInfo fcinfo);
// A model's atoms in the revision that an argument names; NULL is the live one. Within an spi_session.
atom_set atoms_argument(FunctionCallInfo fcinfo, int argument, std::int32_t model);
// Error 22004, naming it, when it is NULL.
std::string text_argument(FunctionCallInfo fcinfo, int argument, const char* name);

}  // namespace hartonomous::pg
