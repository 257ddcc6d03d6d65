// Conversion of text to tokens and back, with the vocabulary in a model's GGUF metadata.
//
// There are two kinds: SentencePiece's ("llama" in tokenizer.ggml.model), which merges the adjacent pair that makes the
// token with the highest score, and byte-level BPE ("gpt2"), which splits text into words by a rule named in
// tokenizer.ggml.pre and merges by rank. Token ids are those of llama.cpp's tokenizer; docs/manual/tokenizer.md says
// where the two differ.
//
// Errors: 22023 if the metadata describe no tokenizer, 0A000 if the kind or rule is not supported, 22P03 if the
// metadata are malformed, 22003 if a token is outside the vocabulary.
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

// Immutable. Creating a vocabulary of 150 000 tokens takes some tens of MB and a few hundred ms, so callers should
// cache it.
class tokenizer {
 public:
  static std::unique_ptr<const tokenizer> create(const gguf_metadata& metadata, interrupt_checker& interrupts);

  tokenizer() = default;
  tokenizer(const tokenizer&) = delete;
  tokenizer& operator=(const tokenizer&) = delete;
  virtual ~tokenizer() = default;

  // Accepts any bytes. With `add_special`, BOS and EOS tokens are added where the model asks for them (adds_bos(),
  // adds_eos()). With `parse_special`, text that spells a control token becomes that token; otherwise it stays text.
  // Takes O(n log n) time and O(n) memory.
  virtual std::vector<std::int32_t> encode(std::string_view text, bool add_special, bool parse_special,
                                           interrupt_checker& interrupts) const = 0;
  // About the number of bytes that encode() allocates for the text, result included. Most of it depends on the longest
  // run of spaces or of non-spaces, because tokens of vocabularies contain a change between the two only at their
  // beginning.
  static std::uint64_t encode_memory(std::string_view text) noexcept;
  // The text of tokens. Control tokens are left out, or spelled out with `special`; the space that encode() puts before
  // the text is removed. Tokens chosen by a model may give bytes that are not valid UTF-8.
  virtual std::string decode(span<const std::int32_t> tokens, bool special, interrupt_checker& interrupts) const = 0;
  // Appends the bytes of one token without removing a space, for text that grows token by token.
  virtual void append_piece(std::string& out, std::int32_t token, bool special) const = 0;

  // The tokens, ascending, that a smaller vocabulary needs to give `seen` for the same texts: these, the tokens that
  // arise while they are merged, those of single bytes and of a space, and all control, unknown and user-defined
  // tokens. It can encode whatever this one can.
  virtual std::vector<std::int32_t> needed_for(span<const std::int32_t> seen, interrupt_checker& interrupts) const = 0;

  virtual std::size_t size() const noexcept = 0;         // of the vocabulary
  virtual std::int32_t bos() const noexcept = 0;         // BOS token; -1 if there is none
  virtual std::int32_t eos() const noexcept = 0;         // EOS token; -1 if there is none
  virtual bool adds_bos() const noexcept = 0;            // implies bos() >= 0
  virtual bool adds_eos() const noexcept = 0;            // implies eos() >= 0
  virtual bool ends_text(std::int32_t token) const = 0;  // eos() or another token that ends a model's answer
  virtual std::size_t memory() const noexcept = 0;       // approximate size in bytes
};

// The tokens, ascending, that a smaller vocabulary needs to give the tokens `seen` for the same texts:
// tokenizer::needed_for(), and all that keys of the metadata name.
std::vector<std::int32_t> tokens_to_keep(const tokenizer& words, const gguf_metadata& metadata,
                                         span<const std::int32_t> seen, interrupt_checker& interrupts);

// Metadata whose vocabulary has only the given tokens of tokens_to_keep(), renumbered from 0: lists with one entry per
// token have the entries of these, merges of removed tokens are left out, and keys that name tokens have their new
// numbers.
gguf_metadata trimmed_vocabulary(const gguf_metadata& metadata, span<const std::int32_t> kept,
                                 interrupt_checker& interrupts);

// Sets tokenizer.ggml.pre, which old files lack or call "default". Error 0A000 if the name is not known, 22023 if the
// vocabulary has no such rule or the metadata name another one.
void name_pre_tokenizer(gguf_metadata& metadata, std::string_view name);

// Error 22P03 if the vocabulary of a tokenizer of a known kind has the same token twice: such a vocabulary is
// ambiguous, and llama.cpp cannot load the file. Cheaper than creating the tokenizer, and checks nothing else.
void check_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts);

}  // namespace hartonomous
