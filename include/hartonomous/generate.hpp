// Text generation with a language model, token by token.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/network.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// How tokens are sampled. The options are applied in this order: top_k, top_p, temperature.
struct sampling {
  double temperature = 0.0;  // 0: always the most probable token
  std::uint32_t top_k = 0;   // only this many of the most probable tokens; 0: all
  double top_p = 1.0;        // only the most probable tokens that together have this probability
  std::uint64_t seed = 0;
};

struct chosen_token {
  token_id token;
  double log_probability;  // under the model, whatever the sampling
};

// Makes the same choices on every machine for the same logits: the n-th random number is a hash of seed and n. Among
// equally probable tokens the one with the lowest id comes first.
class token_sampler {
 public:
  // Error 22023 if temperature or top_p is out of range.
  explicit token_sampler(const sampling& how);
  // Error 55000 if all logits are NaN.
  chosen_token choose(span<const float> logits);

 private:
  double draw() noexcept;  // uniform in [0, 1)

  sampling how_;
  std::uint64_t drawn_ = 0;
};

// A text that is continued token by token.
class text_continuation {
 public:
  // `capacity` is the maximum number of tokens.
  text_continuation(transformer& network, std::uint32_t capacity)
      : network_(network), cache_(network.config(), capacity) {}
  std::uint32_t length() const noexcept { return cache_.length(); }
  bool full() const noexcept { return cache_.length() == cache_.capacity(); }
  // Appends tokens (at least one) and returns the logits of the next one, one for each token of the vocabulary.
  std::vector<float> append(span<const token_id> tokens);
  // Number of tokens that are run at a time, so that memory does not grow with the length of the prompt.
  static constexpr std::size_t part = 512;

 private:
  transformer& network_;
  kv_cache cache_;
};

// A prompt and its continuation by the model.
class text_generator {
 public:
  using token_test = std::function<bool(token_id)>;

  // Error 22023 if the prompt is empty or longer than the model's context.
  text_generator(transformer& network, std::vector<token_id> prompt, std::uint32_t max_tokens, const sampling& how,
                 token_test ends_text);
  // The next token; no value after max_tokens, at the end of the context, or when the model ends the text.
  std::optional<chosen_token> next();
  // Bytes that a generator allocates for such a prompt.
  static std::uint64_t bytes(const transformer& network, std::uint64_t prompt, std::uint64_t max_tokens) noexcept;

 private:
  text_continuation text_;
  token_sampler sampler_;
  std::vector<token_id> pending_;  // chosen or given, not yet run
  std::uint32_t left_;
  token_test ends_text_;
};

// Turns bytes that arrive in pieces into text that PostgreSQL can hold: UTF-8 without NUL. Each byte that is not part
// of a character becomes U+FFFD.
class utf8_stream_decoder {
 public:
  // Returns the text that is complete after these bytes; the first bytes of a character wait for the rest.
  std::string add(std::string_view bytes);

 private:
  std::string waiting_;
};

}  // namespace hartonomous
