// libFuzzer: any logits and any options of sampling. A token of the vocabulary is chosen, never one whose logit is NaN,
// and the same one again with the same seed.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/generate.hpp"

#include "codecs.hpp"

namespace {

using namespace hartonomous;
using fuzz::require;

struct options {
  double temperature;
  double top_p;
  std::uint64_t seed;
  std::uint32_t top_k;
};

void check(const sampling& how, const std::vector<float>& logits) {
  try {
    token_sampler sampler(how);
    token_sampler again(how);
    for (int drawn = 0; drawn < 3; ++drawn) {
      const chosen_token chosen = sampler.choose(logits);
      require(static_cast<std::size_t>(chosen.token) < logits.size());
      require(!std::isnan(logits[static_cast<std::size_t>(chosen.token)]));
      require(again.choose(logits).token == chosen.token);
    }
  } catch (const error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < sizeof(options) + sizeof(float)) return 0;
  options given = {};
  std::memcpy(&given, data, sizeof given);
  std::vector<float> logits((size - sizeof given) / sizeof(float));
  std::memcpy(logits.data(), data + sizeof given, logits.size() * sizeof(float));
  check({given.temperature, given.top_k, given.top_p, given.seed}, logits);
  // Options within their ranges: else most are refused.
  const auto within = [](std::uint64_t bits) { return static_cast<double>(bits % 1000 + 1) / 1000.0; };
  check({2.0 * within(given.seed >> 16), given.top_k % 8, within(given.seed), given.seed}, logits);
  return 0;
}
