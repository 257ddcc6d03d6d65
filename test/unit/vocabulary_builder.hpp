// Metadata of small tokenizers, for tests.
#pragma once

#include "hartonomous/tokenizer.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hartonomous::vocabulary_builder {

using ids = std::vector<std::int32_t>;
using strings = std::vector<std::string>;

inline constexpr char space[] = "\xe2\x96\x81";  // U+2581

inline std::unique_ptr<const tokenizer> make(const gguf_metadata& metadata) {
  no_interrupts interrupts;
  return tokenizer::create(metadata, interrupts);
}
inline ids encode(const tokenizer& t, std::string_view text, bool add_special = false, bool parse_special = false) {
  no_interrupts interrupts;
  return t.encode(text, add_special, parse_special, interrupts);
}
inline std::string decode(const tokenizer& t, const ids& tokens, bool special = false) {
  no_interrupts interrupts;
  return t.decode(tokens, special, interrupts);
}

// A vocabulary in SentencePiece's order: <unk>, <s>, </s>, 256 bytes, then these, their scores minus their rank.
inline gguf_metadata spm_metadata(const strings& pieces) {
  strings tokens = {"<unk>", "<s>", "</s>"};
  std::vector<std::int32_t> types = {2, 3, 3};
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) {
    tokens.push_back(std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">");
    types.push_back(6);
  }
  std::vector<float> scores(tokens.size(), 0.0F);
  for (const std::string& piece : pieces) {
    tokens.push_back(piece);
    types.push_back(1);
    scores.push_back(-static_cast<float>(scores.size()));
  }
  gguf_metadata metadata;
  metadata.set_string("tokenizer.ggml.model", "llama");
  metadata.set_strings("tokenizer.ggml.tokens", tokens);
  metadata.set_floats("tokenizer.ggml.scores", scores);
  metadata.set_ints("tokenizer.ggml.token_type", types);
  return metadata;
}
inline constexpr std::int32_t first_piece = 259;
inline std::int32_t byte_token(unsigned char byte) { return 3 + byte; }

// GPT-2's alphabet, worked out here once more.
inline std::string letter_of(unsigned byte) {
  unsigned code = 256;
  for (unsigned b = 0; b <= byte; ++b) {
    const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b != 173);
    if (b == byte) {
      if (printable) code = b;
      break;
    }
    if (!printable) ++code;
  }
  if (code < 128) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}
inline std::string spelled(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) out += letter_of(static_cast<unsigned char>(c));
  return out;
}

// The 256 bytes as tokens 0 to 255, then what the merges make (pairs of byte strings), then special tokens.
inline gguf_metadata bpe_metadata(const char* pre, const std::vector<std::pair<std::string, std::string>>& merges,
                                  const strings& control = {}, const strings& user_defined = {}) {
  strings tokens;
  for (unsigned b = 0; b < 256; ++b) tokens.push_back(letter_of(b));
  strings rules;
  for (const auto& [left, right] : merges) {
    rules.push_back(spelled(left) + " " + spelled(right));
    tokens.push_back(spelled(left + right));
  }
  std::vector<std::int32_t> types(tokens.size(), 1);
  for (const std::string& text : control) tokens.push_back(text), types.push_back(3);
  for (const std::string& text : user_defined) tokens.push_back(text), types.push_back(4);
  gguf_metadata metadata;
  metadata.set_string("tokenizer.ggml.model", "gpt2");
  metadata.set_string("tokenizer.ggml.pre", pre);
  metadata.set_strings("tokenizer.ggml.tokens", tokens);
  metadata.set_ints("tokenizer.ggml.token_type", types);
  metadata.set_strings("tokenizer.ggml.merges", rules);
  metadata.set_bool("tokenizer.ggml.add_bos_token", false);
  return metadata;
}

}  // namespace hartonomous::vocabulary_builder
