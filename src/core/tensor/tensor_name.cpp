// Splits a tensor's name into the number of the block, the stem, and weight or bias (tensor_name.hpp).
#include "hartonomous/tensor_name.hpp"

#include <cstddef>

#include "tensor/roles.hpp"

namespace hartonomous {

namespace {

// Where the block's number is: after the first part of the name that announces one, such as blk in GGUF.
struct block_place {
  std::size_t begin = 0, length = 0;  // of the digits; length is 0 if there are none
};

bool announces_block(std::string_view part) noexcept {
  constexpr std::string_view words[] = {"blk", "block", "blocks", "layer", "layers", "h"};
  for (const std::string_view word : words) {
    if (part == word) return true;
  }
  return false;
}

bool is_number(std::string_view part) noexcept {
  constexpr std::size_t most_digits = 6;
  if (part.empty() || part.size() > most_digits) return false;
  return part.find_first_not_of("0123456789") == std::string_view::npos;
}

block_place find_block(std::string_view name) noexcept {
  std::size_t begin = 0;
  bool announced = false;
  for (std::size_t dot = name.find('.'); dot != std::string_view::npos; dot = name.find('.', begin)) {
    const std::string_view part = name.substr(begin, dot - begin);
    if (announced && is_number(part)) return {begin, part.size()};
    announced = announces_block(part);
    begin = dot + 1;
  }
  return {};
}

std::int32_t number_of(std::string_view digits) noexcept {
  std::int32_t number = 0;
  for (const char c : digits) number = number * 10 + (c - '0');
  return number;
}

struct role_traits {
  tensor_role role;
  std::string_view name, kind;
  bool writes_residual;
};
// In the order of the enumerators.
constexpr role_traits traits[] = {
    {tensor_role::other, "other", "other", false},
    {tensor_role::norm, "norm", "norm", false},
    {tensor_role::token_embedding, "token_embedding", "embedding", false},
    {tensor_role::position_embedding, "position_embedding", "embedding", false},
    {tensor_role::embedding, "embedding", "embedding", false},
    {tensor_role::output, "output", "output", false},
    {tensor_role::attn_q, "attn_q", "attention", false},
    {tensor_role::attn_k, "attn_k", "attention", false},
    {tensor_role::attn_v, "attn_v", "attention", false},
    {tensor_role::attn_qkv, "attn_qkv", "attention", false},
    {tensor_role::attn_kv_b, "attn_kv_b", "attention", false},
    {tensor_role::attn_output, "attn_output", "attention", true},
    {tensor_role::attention, "attention", "attention", false},
    {tensor_role::ffn_gate, "ffn_gate", "ffn", false},
    {tensor_role::ffn_up, "ffn_up", "ffn", false},
    {tensor_role::ffn_down, "ffn_down", "ffn", true},
    {tensor_role::router, "router", "ffn", false},
    {tensor_role::feed_forward, "feed_forward", "ffn", false},
    {tensor_role::recurrent, "recurrent", "other", false},
    {tensor_role::recurrent_output, "recurrent_output", "other", true},
};

constexpr bool in_order() {
  std::size_t i = 0;
  for (const role_traits& t : traits) {
    if (static_cast<std::size_t>(t.role) != i++) return false;
  }
  return true;
}
static_assert(in_order());

const role_traits& traits_of(tensor_role role) noexcept { return traits[static_cast<std::size_t>(role)]; }

bool drop_end(std::string_view& text, std::string_view end) noexcept {
  if (text.size() < end.size() || text.substr(text.size() - end.size()) != end) return false;
  text.remove_suffix(end.size());
  return true;
}

}  // namespace

tensor_name parse_tensor_name(std::string_view name) {
  const block_place place = find_block(name);
  tensor_name parsed;
  std::string_view stem = name;
  if (place.length > 0) {
    parsed.block = number_of(name.substr(place.begin, place.length));
    stem.remove_prefix(place.begin + place.length + 1);
  }
  const bool bias = !drop_end(stem, ".weight") && drop_end(stem, ".bias");
  const tensor_detail::parsed_stem found = tensor_detail::role_of_stem(stem, parsed.block >= 0);
  parsed.role = found.role;
  parsed.known_to_mixtures = found.known_to_mixtures && !bias;
  return parsed;
}

std::string with_block(std::string_view name, std::int32_t block) {
  const block_place place = find_block(name);
  std::string renamed(name);
  if (place.length > 0) renamed.replace(place.begin, place.length, std::to_string(block));
  return renamed;
}

std::string_view name_of(tensor_role role) noexcept { return traits_of(role).name; }
std::string_view kind_of(tensor_role role) noexcept { return traits_of(role).kind; }
bool writes_residual(tensor_role role) noexcept { return traits_of(role).writes_residual; }

}  // namespace hartonomous
