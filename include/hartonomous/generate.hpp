// Text that a language model continues, token by token.
#pragma once

#include <cstdint>
#include <vector>

#include "hartonomous/llama.hpp"
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
  text_continuation(llama_network& network, std::uint32_t capacity)
      : network_(network), cache_(network.config(), capacity) {}
  std::uint32_t length() const noexcept { return cache_.length(); }
  bool full() const noexcept { return cache_.length() == cache_.capacity(); }
  // Appends tokens (at least one) and returns the logits of the one after them, one a token of the vocabulary.
  std::vector<float> append(span<const token_id> tokens);

 private:
  llama_network& network_;
  kv_cache cache_;
};

}  // namespace hartonomous
