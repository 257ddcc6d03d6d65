// Sampling tokens and continuing a text (hartonomous/generate.hpp).
#include "hartonomous/generate.hpp"

#include "hartonomous/error.hpp"
#include "network/vectors.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>

namespace hartonomous {
namespace {

// SplitMix64's mixing function (Steele, Lea, Flood 2014).
std::uint64_t mixed(std::uint64_t x) noexcept {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// The tokens that can be chosen, most probable first.
std::vector<std::size_t> candidates(span<const float> logits, std::uint32_t top_k) {
  std::vector<std::size_t> order(logits.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  order.erase(std::remove_if(order.begin(), order.end(), [&](std::size_t i) { return std::isnan(logits[i]); }),
              order.end());
  const auto likelier = [&](std::size_t a, std::size_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  if (top_k != 0 && top_k < order.size()) {
    std::nth_element(order.begin(), order.begin() + top_k, order.end(), likelier);
    order.resize(top_k);
  }
  std::sort(order.begin(), order.end(), likelier);
  return order;
}

// exp((logit - top) / temperature) of each candidate.
std::vector<double> weights_of(span<const float> logits, const std::vector<std::size_t>& tokens, double temperature) {
  std::vector<double> weights;
  const double top = static_cast<double>(logits[tokens.front()]);
  for (std::size_t token : tokens) {
    const double distance = static_cast<double>(logits[token]) - top;
    weights.push_back(distance == 0.0 ? 1.0 : std::exp(distance / temperature));
  }
  return weights;
}

void keep_top_p(span<const float> logits, double top_p, std::vector<std::size_t>& tokens) {
  if (top_p >= 1.0) return;
  const std::vector<double> weights = weights_of(logits, tokens, 1.0);
  const double enough = top_p * std::accumulate(weights.begin(), weights.end(), 0.0);
  double sum = 0.0;
  std::size_t kept = 0;
  while (kept < tokens.size() && (kept == 0 || sum < enough)) sum += weights[kept++];
  tokens.resize(kept);
}

double log_probability(span<const float> logits, std::size_t token) {
  const float top = network_detail::maximum(logits.data(), logits.size());
  const double mass = network_detail::exponential_sum(logits.data(), logits.size(), top);
  return static_cast<double>(logits[token]) - static_cast<double>(top) - std::log(mass);
}

}  // namespace

token_sampler::token_sampler(const sampling& how) : how_(how) {
  if (!(how.temperature >= 0.0) || std::isinf(how.temperature)) {
    throw error(sqlstate::invalid_parameter_value, "temperature must be 0 or more");
  }
  if (!(how.top_p > 0.0 && how.top_p <= 1.0)) {
    throw error(sqlstate::invalid_parameter_value, "top_p must be above 0 and at most 1");
  }
}

double token_sampler::draw() noexcept {
  return static_cast<double>(mixed(mixed(how_.seed) + drawn_++) >> 11) * 0x1p-53;
}

chosen_token token_sampler::choose(span<const float> logits) {
  std::vector<std::size_t> tokens = candidates(logits, how_.temperature == 0.0 ? 1 : how_.top_k);
  if (tokens.empty()) {
    throw error(sqlstate::object_not_in_prerequisite_state, "the model predicts nothing: all of its logits are NaN");
  }
  std::size_t chosen = tokens.front();
  if (how_.temperature > 0.0) {
    keep_top_p(logits, how_.top_p, tokens);
    const std::vector<double> weights = weights_of(logits, tokens, how_.temperature);
    double left = draw() * std::accumulate(weights.begin(), weights.end(), 0.0);
    std::size_t i = 0;
    while (i + 1 < tokens.size() && left >= weights[i]) left -= weights[i++];
    chosen = tokens[i];
  }
  return {static_cast<token_id>(chosen), log_probability(logits, chosen)};
}

std::vector<float> text_continuation::append(span<const token_id> tokens) {
  if (tokens.empty()) throw error(sqlstate::invalid_parameter_value, "the prompt has no tokens");
  std::vector<float> states;
  std::size_t last = 0;
  for (std::size_t at = 0; at < tokens.size(); at += part) {
    const token_sequence sequence = {tokens.subspan(at, std::min(part, tokens.size() - at)), &cache_};
    states = network_.run({&sequence, 1});
    last = sequence.tokens.size() - 1;
  }
  const std::vector<float> state = network_.normed(states, {&last, 1});
  logit_reader reader(network_, state.data(), 1);
  std::vector<float> logits;
  logits.reserve(network_.vocabulary());
  while (reader.next()) logits.insert(logits.end(), reader.logits(0), reader.logits(0) + reader.count());
  return logits;
}

text_generator::text_generator(transformer& network, std::vector<token_id> prompt, std::uint32_t max_tokens,
                               const sampling& how, token_test ends_text)
    : text_(network, static_cast<std::uint32_t>(
                         std::min<std::uint64_t>(network.config().context, prompt.size() + std::uint64_t{max_tokens}))),
      sampler_(how),
      pending_(std::move(prompt)),
      left_(max_tokens),
      ends_text_(std::move(ends_text)) {
  if (pending_.empty()) throw error(sqlstate::invalid_parameter_value, "the prompt has no tokens");
  if (pending_.size() > network.config().context) {
    throw error(sqlstate::invalid_parameter_value, "the prompt has " + std::to_string(pending_.size()) +
                                                       " tokens, but the model's context is " +
                                                       std::to_string(network.config().context));
  }
}

std::optional<chosen_token> text_generator::next() {
  if (left_ == 0 || pending_.empty() || text_.full()) return std::nullopt;
  const chosen_token chosen = sampler_.choose(text_.append(pending_));
  pending_.clear();
  --left_;
  if (ends_text_(chosen.token)) return std::nullopt;
  pending_.push_back(chosen.token);
  return chosen;
}

std::uint64_t text_generator::bytes(const transformer& network, std::uint64_t prompt,
                                    std::uint64_t max_tokens) noexcept {
  const auto capacity =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(network.config().context, prompt + max_tokens));
  return kv_cache::bytes(network.config(), capacity) +
         network.run_bytes(std::min<std::uint64_t>(prompt, text_continuation::part), capacity);
}

}  // namespace hartonomous
