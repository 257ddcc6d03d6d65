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

// The hyperparameters of the revision that a set of atoms belongs to. Needs an spi_session.
hyperparameters stored_hyperparameters(const atom_set& of);

// Must be created and used within an spi_session. Errors: 0A000 if the model is not a supported language model or its
// tensors have formats that are only carried; those of network.hpp and tokenizer.hpp.
class language_model {
 public:
  explicit language_model(atom_set atoms);

  transformer& network() noexcept { return network_; }
  const hartonomous::tokenizer& tokenizer() const noexcept { return *tokenizer_; }
  model_tensors& tensors() noexcept { return tensors_; }

  // Tokenizes a text, with the begin and end tokens that the model asks for. Raises 22023 if the vocabulary has more
  // tokens than the embedding.
  std::vector<token_id> encode(std::string_view text);
  // The same for a prompt: without an end token, and with control tokens recognized where they are written out.
  std::vector<token_id> encode_prompt(std::string_view text);
  // The token that each window of a text begins with, if the model has one.
  std::optional<token_id> begin() const;
  // NULL stands for 512 or the context length of the model, whichever is smaller. Raises 22023 beyond that length.
  std::uint32_t context(FunctionCallInfo fcinfo, int argument) const;

 private:
  backend_interrupts interrupts_;
  model_tensors tensors_;
  transformer network_;
  std::shared_ptr<const hartonomous::tokenizer> tokenizer_;
};

}  // namespace hartonomous::pg
