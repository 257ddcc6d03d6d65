// Text that a language model continues, token by token.
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

// Which of the likely tokens is taken. Applied in this order: top_k, top_p, temperature.
struct sampling {
  double temperature = 0.0;  // 0: always the likeliest
  std::uint32_t top_k = 0;   // only the likeliest so many; 0: all
  double top_p = 1.0;        // only the likeliest that together have this probability
  std::uint64_t seed = 0;
};

struct chosen_token {
  token_id token;
  double log_probability;  // by the model, whatever the sampling
};

// The same choices on every machine for the same logits: the n-th draw is a hash of seed and n. Of equally likely
// tokens the first comes first.
class token_sampler {
 public:
  // Error 22023: a temperature or top_p that makes no sense.
  explicit token_sampler(const sampling& how);
  // Error 55000 when no logit is a number.
  chosen_token choose(span<const float> logits);

 private:
  double draw() noexcept;  // uniform in [0, 1)

  sampling how_;
  std::uint64_t drawn_ = 0;
};

// A text in progress.
class text_continuation {
 public:
  // Room for `capacity` tokens altogether.
  text_continuation(transformer& network, std::uint32_t capacity)
      : network_(network), cache_(network.config(), capacity) {}
  std::uint32_t length() const noexcept { return cache_.length(); }
  bool full() const noexcept { return cache_.length() == cache_.capacity(); }
  // Appends tokens (at least one) and returns the logits of the one after them, one a token of the vocabulary.
  std::vector<float> append(span<const token_id> tokens);
  // Tokens that are run at a time, so that memory does not grow with a long prompt.
  static constexpr std::size_t part = 512;

 private:
  transformer& network_;
  kv_cache cache_;
};

// A prompt and what the model goes on with.
class text_generator {
 public:
  using token_test = std::function<bool(token_id)>;

  // Error 22023: the prompt is empty or longer than the model's context.
  text_generator(transformer& network, std::vector<token_id> prompt, std::uint32_t max_tokens, const sampling& how,
                 token_test ends_text);
  // The next token; none after max_tokens, at the end of the context, or where the model ends the text.
  std::optional<chosen_token> next();
  // Bytes that a generator for such a prompt allocates.
  static std::uint64_t bytes(const transformer& network, std::uint64_t prompt, std::uint64_t max_tokens) noexcept;

 private:
  text_continuation text_;
  token_sampler sampler_;
  std::vector<token_id> pending_;  // chosen or given, not yet run
  std::uint32_t left_;
  token_test ends_text_;
};

// Bytes that come piece by piece, as text: UTF-8 without NUL. What is no character becomes U+FFFD, a byte each.
class growing_text {
 public:
  // What can be said after these bytes; the beginning of a character waits for its end.
  std::string add(std::string_view bytes);

 private:
  std::string waiting_;
};

}  // namespace hartonomous
