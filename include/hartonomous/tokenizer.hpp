// Text to tokens and back, by the vocabulary in a model's GGUF metadata.
//
// Two kinds: SentencePiece's ("llama" in tokenizer.ggml.model), which merges the adjacent pair that makes the token of
// highest score, and byte-level BPE ("gpt2"), which cuts text into words by a rule named in tokenizer.ggml.pre and
// merges by rank. Token ids are those of llama.cpp's tokenizer; docs/manual/tokenizer.md says where the two differ.
//
// Errors: metadata that describes no tokenizer is 22023, a kind or rule not known here 0A000, malformed metadata
// 22P03, a token beyond the vocabulary 22003.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/gguf.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// Immutable once made. A vocabulary of 150 000 tokens takes some tens of MB and a few hundred ms to make: keep it.
class tokenizer {
 public:
  static std::unique_ptr<const tokenizer> create(const gguf_metadata& metadata, interrupt_checker& interrupts);

  tokenizer() = default;
  tokenizer(const tokenizer&) = delete;
  tokenizer& operator=(const tokenizer&) = delete;
  virtual ~tokenizer() = default;

  // Any bytes are taken. `add_special` puts the tokens of begin and end around the text where the model asks for them
  // (adds_bos(), adds_eos()); with `parse_special` text that spells a control token is that token, else it is text.
  // Takes O(n log n) time and O(n) memory.
  virtual std::vector<std::int32_t> encode(std::string_view text, bool add_special, bool parse_special,
                                           interrupt_checker& interrupts) const = 0;
  // Bytes that encode() allocates for such a text, about, result included. Most go to its longest stretch of spaces or
  // of anything else, as vocabularies have words that go across from one to the other at their beginning only.
  static std::uint64_t encode_memory(std::string_view text) noexcept;
  // The text again: control tokens are left out, or with `special` spelled out, and the space that encode() puts
  // before text is taken away. Tokens that a model made may give bytes that are no UTF-8.
  virtual std::string decode(span<const std::int32_t> tokens, bool special, interrupt_checker& interrupts) const = 0;
  // Appends the bytes of one token, without taking a space away: for text that grows token by token.
  virtual void append_piece(std::string& out, std::int32_t token, bool special) const = 0;

  virtual std::size_t size() const noexcept = 0;         // tokens of the vocabulary
  virtual std::int32_t bos() const noexcept = 0;         // begin of text; -1 when there is none
  virtual std::int32_t eos() const noexcept = 0;         // end of text; -1 when there is none
  virtual bool adds_bos() const noexcept = 0;            // implies bos() >= 0
  virtual bool adds_eos() const noexcept = 0;            // implies eos() >= 0
  virtual bool ends_text(std::int32_t token) const = 0;  // eos(), or another token that ends a model's answer
  virtual std::size_t memory() const noexcept = 0;       // bytes, about
};

// Error 22P03 when the vocabulary of a tokenizer of a known kind has a token twice: no text could be cut into tokens
// by it, and llama.cpp cannot load such a file. Cheaper than making the tokenizer, and asks nothing else of it.
void check_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts);

}  // namespace hartonomous
