// Reads a vocabulary from GGUF metadata, and splits a text at its special tokens.
#include "tokenizer/vocabulary.hpp"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <cstdint>

#include "bytes/text.hpp"

namespace hartonomous::tokenizer_detail {

namespace {

constexpr const char* malformed = sqlstate::invalid_binary_representation;
constexpr std::size_t check_interval = 4096;  // tokens

// Models also end their answers with tokens other than EOS, and metadata seldom list them. As in llama.cpp, the tokens
// of this list become control tokens, too, whatever the metadata say.
constexpr std::string_view known_end_tokens[] = {"<|eot_id|>",    "<|eom_id|>",    "<|im_end|>",
                                                 "<|end|>",       "<|endoftext|>", "<|end_of_text|>",
                                                 "<end_of_turn>", "<EOT>",         "</s>"};

void read_tokens(const gguf_metadata& metadata, vocabulary& words, interrupt_checker& interrupts) {
  const std::vector<std::string> texts = required(metadata, "tokenizer.ggml.tokens", &gguf_metadata::get_strings);
  if (texts.empty() || texts.size() > INT32_MAX) {
    throw error(malformed, "the vocabulary has " + std::to_string(texts.size()) + " tokens");
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i % check_interval == 0) interrupts.check();
    // An empty text cannot be matched; this makes it differ from other empty ones.
    std::string const text = texts[i].empty() ? "[EMPTY_" + std::to_string(i) + "]" : texts[i];
    const auto id = static_cast<std::size_t>(words.tokens.add(text));
    if (id != i) {
      throw error(malformed, "the vocabulary has the token " + show_name(text) + " twice",
                  "Its ids are " + std::to_string(id) + " and " + std::to_string(i) + ".");
    }
  }
}

void check_count(const char* key, std::size_t count, std::size_t tokens) {
  if (count >= tokens) return;
  throw error(
      malformed, std::string("metadata key \"") + key + "\" is too short",
      "It has " + std::to_string(count) + " elements; the vocabulary has " + std::to_string(tokens) + " tokens.");
}

void read_scores(const gguf_metadata& metadata, vocabulary& words) {
  constexpr const char* key = "tokenizer.ggml.scores";
  std::size_t const size = words.tokens.size();
  words.scores = metadata.get_floats(key).value_or(std::vector<float>(size));
  check_count(key, words.scores.size(), size);
  words.scores.resize(size);
  const auto bad = std::find_if(words.scores.begin(), words.scores.end(), [](float s) { return std::isnan(s); });
  if (bad != words.scores.end()) {
    throw error(malformed, "the score of token " + std::to_string(bad - words.scores.begin()) + " is not a number");
  }
}

void read_kinds(const gguf_metadata& metadata, vocabulary& words) {
  constexpr const char* key = "tokenizer.ggml.token_type";
  std::size_t const size = words.tokens.size();
  words.kinds.assign(size, token_kind::normal);
  const auto types = metadata.get_ints(key);
  if (!types) return;
  check_count(key, types->size(), size);
  for (std::size_t i = 0; i < size; ++i) {
    std::int64_t const type = (*types)[i];
    words.kinds[i] = type >= 1 && type <= 6 ? static_cast<token_kind>(type) : token_kind::undefined;
  }
}

std::int32_t read_id(const gguf_metadata& metadata, const char* key, std::int32_t fallback, const vocabulary& words) {
  const auto id = metadata.get_uint(key);
  constexpr std::uint32_t none = 0xffffffff;  // used by old converters for a token that does not exist
  if (!id || *id == none)
    return fallback >= 0 && static_cast<std::size_t>(fallback) < words.tokens.size() ? fallback : -1;
  if (*id >= words.tokens.size()) {
    throw error(malformed, std::string("metadata key \"") + key + "\" names a token that is out of range",
                "Its value is " + std::to_string(*id) + "; the vocabulary has " + std::to_string(words.tokens.size()) +
                    " tokens.");
  }
  return static_cast<std::int32_t>(*id);
}

bool read_add(const gguf_metadata& metadata, const char* key, bool fallback, std::int32_t token,
              const char* token_key) {
  const bool add = metadata.get_bool(key).value_or(fallback);
  if (add && token < 0) {
    throw error(malformed, std::string("metadata key \"") + token_key + "\" is missing",
                "The tokenizer would add this token to every text.");
  }
  return add;
}

void collect_end_tokens(const gguf_metadata& metadata, vocabulary& words) {
  std::vector<std::int32_t> found = {words.eos, read_id(metadata, "tokenizer.ggml.eot_token_id", -1, words),
                                     read_id(metadata, "tokenizer.ggml.eom_token_id", -1, words)};
  for (std::string_view const text : known_end_tokens) {
    std::int32_t const token = words.tokens.find(text);
    if (token < 0) continue;
    words.kinds[static_cast<std::size_t>(token)] = token_kind::control;
    found.push_back(token);
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  found.erase(std::remove(found.begin(), found.end(), -1), found.end());
  words.end_tokens = std::move(found);
}

void collect_cut_first(vocabulary& words) {
  for (std::size_t i = 0; i < words.kinds.size(); ++i) {
    const auto id = static_cast<std::int32_t>(i);
    if (words.is_special(id) || words.kinds[i] == token_kind::user_defined) words.cut_first.push_back(id);
  }
  std::stable_sort(words.cut_first.begin(), words.cut_first.end(),
                   [&](std::int32_t a, std::int32_t b) { return words.text(a).size() > words.text(b).size(); });
}

// The first position of `what` in `text` at or after `from`, or npos. Checks for interrupts.
std::size_t find_in(std::string_view text, std::string_view what, std::size_t from, interrupt_checker& interrupts) {
  constexpr std::size_t window = std::size_t{1} << 20;
  for (; from < text.size(); from += window) {
    std::size_t const at = text.substr(from, window + what.size() - 1).find(what);
    if (at != std::string_view::npos) return from + at;
    interrupts.check();
  }
  return std::string_view::npos;
}

}  // namespace

void require_unique_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts) {
  const gguf_kv* tokens = metadata.find("tokenizer.ggml.tokens");
  if (tokens == nullptr || tokens->type != gguf_type::array || tokens->element != gguf_type::string) return;
  if (tokens->count == 0) return;
  vocabulary words;
  read_tokens(metadata, words, interrupts);
}

std::int32_t vocabulary::unknown_for(unsigned char byte) const {
  if (unknown >= 0) return unknown;
  constexpr char digits[] = "0123456789abcdef";
  throw error(sqlstate::character_not_in_repertoire,
              std::string("the vocabulary has no token for byte 0x") + digits[byte >> 4] + digits[byte & 15]);
}

vocabulary read_vocabulary(const gguf_metadata& metadata, const vocabulary_defaults& defaults,
                           interrupt_checker& interrupts) {
  vocabulary words;
  read_tokens(metadata, words, interrupts);
  read_scores(metadata, words);
  read_kinds(metadata, words);
  interrupts.check();
  words.bos = read_id(metadata, "tokenizer.ggml.bos_token_id", defaults.bos, words);
  words.eos = read_id(metadata, "tokenizer.ggml.eos_token_id", defaults.eos, words);
  words.unknown = read_id(metadata, "tokenizer.ggml.unknown_token_id", defaults.unknown, words);
  words.add_bos =
      read_add(metadata, "tokenizer.ggml.add_bos_token", defaults.add_bos, words.bos, "tokenizer.ggml.bos_token_id");
  words.add_eos = read_add(metadata, "tokenizer.ggml.add_eos_token", false, words.eos, "tokenizer.ggml.eos_token_id");
  words.add_space_prefix = metadata.get_bool("tokenizer.ggml.add_space_prefix").value_or(defaults.add_space_prefix);
  collect_end_tokens(metadata, words);
  collect_cut_first(words);
  return words;
}

std::vector<fragment> cut_special_tokens(const vocabulary& words, std::string_view text, bool parse_special,
                                         interrupt_checker& interrupts) {
  std::vector<fragment> fragments;
  if (text.empty()) return fragments;
  fragments.push_back({text, -1});
  std::bitset<256> present;
  for (const char c : text) present.set(static_cast<unsigned char>(c));
  std::vector<fragment> cut;
  for (std::int32_t const token : words.cut_first) {
    std::string_view const spelled = words.text(token);
    const bool possible = std::all_of(spelled.begin(), spelled.end(),
                                      [&](char c) { return present.test(static_cast<unsigned char>(c)); });
    if (!possible || (!parse_special && words.is_special(token))) continue;
    cut.clear();
    for (const fragment& part : fragments) {
      std::size_t begin = 0;
      while (part.token < 0) {
        std::size_t const at = find_in(part.text, spelled, begin, interrupts);
        if (at == std::string_view::npos) break;
        if (at > begin) cut.push_back({part.text.substr(begin, at - begin), -1});
        cut.push_back({spelled, token});
        begin = at + spelled.size();
      }
      if (part.token >= 0 || begin < part.text.size()) cut.push_back({part.text.substr(begin), part.token});
    }
    fragments.swap(cut);
  }
  return fragments;
}

}  // namespace hartonomous::tokenizer_detail
