// The two kinds of tokenizer behind hartonomous/tokenizer.hpp.
#include "hartonomous/tokenizer.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"
#include "tokenizer/bpe.hpp"
#include "tokenizer/spm.hpp"

namespace hartonomous {

namespace {

using namespace tokenizer_detail;

// The part that both kinds share.
class vocabulary_tokenizer : public tokenizer {
 public:
  explicit vocabulary_tokenizer(vocabulary words) : words_(std::move(words)) {}

  std::vector<std::int32_t> encode(std::string_view text, bool add_special, bool parse_special,
                                   interrupt_checker& interrupts) const override;
  std::string decode(span<const std::int32_t> tokens, bool special, interrupt_checker& interrupts) const override;
  void append_piece(std::string& out, std::int32_t token, bool special) const override;
  std::vector<std::int32_t> needed_for(span<const std::int32_t> seen, interrupt_checker& interrupts) const override;

  std::size_t size() const noexcept override { return words_.tokens.size(); }
  std::int32_t bos() const noexcept override { return words_.bos; }
  std::int32_t eos() const noexcept override { return words_.eos; }
  bool adds_bos() const noexcept override { return words_.add_bos; }
  bool adds_eos() const noexcept override { return words_.add_eos; }
  bool ends_text(std::int32_t token) const override {
    check(token);
    return std::binary_search(words_.end_tokens.begin(), words_.end_tokens.end(), token);
  }
  std::size_t memory() const noexcept override {
    return sizeof *this + words_.tokens.memory() + words_.tokens.size() * (sizeof(token_kind) + sizeof(float));
  }

 protected:
  // `first`: at the start of the text, or after a special token.
  virtual void encode_fragment(std::string_view text, bool first, std::vector<std::int32_t>& out,
                               work_meter& work) const = 0;
  // Appends the bytes of a token that is neither control nor unknown nor user-defined.
  virtual void append_text(std::string& out, std::int32_t token) const = 0;

  // Calls visit(token) for the tokens that arise while a token is put together.
  virtual void each_part(std::int32_t token, work_meter& work,
                         const std::function<void(std::int32_t)>& visit) const = 0;
  // The tokens, -1 for those that do not exist, without which some text could not be encoded and decoded.
  virtual std::vector<std::int32_t> basic_tokens() const = 0;

  const vocabulary& words() const noexcept { return words_; }

 private:
  void check(std::int32_t token) const {
    if (token >= 0 && static_cast<std::size_t>(token) < size()) return;
    throw error(sqlstate::numeric_value_out_of_range, "token " + std::to_string(token) + " is not in the vocabulary",
                "It has " + std::to_string(size()) + " tokens, numbered from 0.");
  }

  vocabulary words_;
};

std::vector<std::int32_t> vocabulary_tokenizer::encode(std::string_view text, bool add_special, bool parse_special,
                                                       interrupt_checker& interrupts) const {
  constexpr std::size_t limit = std::size_t{1} << 30;
  if (text.size() > limit) {
    throw error(sqlstate::program_limit_exceeded, "text is too long to tokenize",
                "It has " + std::to_string(text.size()) + " bytes; the limit is " + std::to_string(limit) + ".");
  }
  std::vector<std::int32_t> out;
  if (add_special && words_.add_bos) out.push_back(words_.bos);
  work_meter work(interrupts);
  bool first = true;
  for (const fragment& part : cut_special_tokens(words_, text, parse_special, interrupts)) {
    work.step();
    if (part.token >= 0) {
      out.push_back(part.token);
    } else {
      encode_fragment(part.text, first, out, work);
    }
    first = part.token >= 0;
  }
  if (add_special && words_.add_eos) out.push_back(words_.eos);
  return out;
}

void vocabulary_tokenizer::append_piece(std::string& out, std::int32_t token, bool special) const {
  check(token);
  if (words_.is_special(token)) {
    if (special) out += words_.text(token);
  } else if (words_.kind(token) == token_kind::user_defined) {
    out += words_.text(token);
  } else {
    append_text(out, token);
  }
}

std::string vocabulary_tokenizer::decode(span<const std::int32_t> tokens, bool special,
                                         interrupt_checker& interrupts) const {
  std::string out;
  work_meter work(interrupts);
  bool first = true;
  for (std::int32_t const token : tokens) {
    work.step();
    std::size_t const before = out.size();
    append_piece(out, token, special);
    const bool is_text = !words_.is_special(token) && words_.kind(token) != token_kind::user_defined;
    if (is_text && first && words_.add_space_prefix && out.size() > before && out[before] == ' ') out.erase(before, 1);
    first = !is_text;
  }
  return out;
}

std::vector<std::int32_t> vocabulary_tokenizer::needed_for(span<const std::int32_t> seen,
                                                           interrupt_checker& interrupts) const {
  std::vector<bool> needed(size());
  const auto need = [&](std::int32_t token) {
    if (token >= 0) needed[static_cast<std::size_t>(token)] = true;
  };
  for (std::size_t i = 0; i < size(); ++i) {
    const auto token = static_cast<std::int32_t>(i);
    needed[i] = words_.is_special(token) || words_.kind(token) == token_kind::user_defined ||
                words_.kind(token) == token_kind::byte;
  }
  for (const std::int32_t token : basic_tokens()) need(token);
  for (const std::int32_t token : {words_.bos, words_.eos, words_.unknown}) need(token);
  work_meter work(interrupts);
  std::vector<bool> taken(size());
  for (const std::int32_t token : seen) {
    check(token);
    if (taken[static_cast<std::size_t>(token)]) continue;
    taken[static_cast<std::size_t>(token)] = true;
    need(token);
    if (!words_.is_special(token) && words_.kind(token) != token_kind::user_defined) each_part(token, work, need);
  }
  std::vector<std::int32_t> result;
  for (std::size_t i = 0; i < size(); ++i) {
    if (needed[i]) result.push_back(static_cast<std::int32_t>(i));
  }
  return result;
}

class spm_tokenizer final : public vocabulary_tokenizer {
 public:
  spm_tokenizer(vocabulary read, interrupt_checker& interrupts)
      : vocabulary_tokenizer(std::move(read)), encoder_(words(), interrupts) {}
  std::size_t memory() const noexcept override { return vocabulary_tokenizer::memory() + encoder_.memory(); }

 private:
  void encode_fragment(std::string_view text, bool first, std::vector<std::int32_t>& out,
                       work_meter& work) const override {
    encoder_.encode(text, first && words().add_space_prefix, out, work);
  }
  void each_part(std::int32_t token, work_meter& work, const std::function<void(std::int32_t)>& visit) const override {
    encoder_.each_part(words().text(token), work, visit);
  }
  std::vector<std::int32_t> basic_tokens() const override { return encoder_.basic_tokens(); }
  void append_text(std::string& out, std::int32_t token) const override {
    const int byte = words().kind(token) == token_kind::byte ? spm_encoder::byte_of(words().text(token)) : -1;
    if (byte >= 0) {
      out += static_cast<char>(byte);
    } else {
      spm_encoder::append_text(out, words().text(token));
    }
  }

  spm_encoder encoder_;
};

class bpe_tokenizer final : public vocabulary_tokenizer {
 public:
  bpe_tokenizer(vocabulary read, const bpe_encoder::variant& as, const gguf_metadata& metadata,
                interrupt_checker& interrupts)
      : vocabulary_tokenizer(std::move(read)), encoder_(as, words(), metadata, interrupts) {}
  std::size_t memory() const noexcept override { return vocabulary_tokenizer::memory() + encoder_.memory(); }

 private:
  void encode_fragment(std::string_view text, bool, std::vector<std::int32_t>& out, work_meter& work) const override {
    encoder_.encode(text, out, work);
  }
  void each_part(std::int32_t token, work_meter& work, const std::function<void(std::int32_t)>& visit) const override {
    encoder_.each_part(words().text(token), work, visit);
  }
  std::vector<std::int32_t> basic_tokens() const override { return encoder_.basic_tokens(); }
  void append_text(std::string& out, std::int32_t token) const override {
    bpe_encoder::append_text(out, words().text(token));
  }

  bpe_encoder encoder_;
};

}  // namespace

std::uint64_t tokenizer::encode_memory(std::string_view text) noexcept {
  constexpr std::uint64_t of_text = 8;  // measured: 2 to 6 bytes per byte of text; 60 for a single long word
  constexpr std::uint64_t of_stretch = 64;
  std::size_t longest = 0;
  std::size_t begin = 0;
  const auto is_space = [&](std::size_t i) { return text[i] == ' ' || (text[i] >= '\t' && text[i] <= '\r'); };
  for (std::size_t i = 1; i <= text.size(); ++i) {
    if (i < text.size() && is_space(i) == is_space(begin)) continue;
    longest = std::max(longest, i - begin);
    begin = i;
  }
  return of_text * text.size() + of_stretch * longest;
}

std::unique_ptr<const tokenizer> tokenizer::create(const gguf_metadata& metadata, interrupt_checker& interrupts) {
  std::string const kind = metadata.get_string("tokenizer.ggml.model").value_or("none");
  if (kind == "none" || kind == "no_vocab") {
    throw error(sqlstate::invalid_parameter_value, "the model has no tokenizer", {},
                "Its metadata has no key tokenizer.ggml.model.");
  }
  if (kind == "llama") {
    return std::make_unique<spm_tokenizer>(read_vocabulary(metadata, {1, 2, 0, true, true}, interrupts), interrupts);
  }
  if (kind == "gpt2") {
    bpe_encoder::variant const as = bpe_encoder::find_variant(metadata);
    vocabulary words = read_vocabulary(metadata, {11, 11, -1, as.add_bos, false}, interrupts);
    words.add_space_prefix = false;  // whatever the metadata says: llama.cpp ignores it for BPE
    return std::make_unique<bpe_tokenizer>(std::move(words), as, metadata, interrupts);
  }
  throw error(sqlstate::feature_not_supported, "unknown tokenizer " + show_name(kind), {},
              "Known are llama (SentencePiece) and gpt2 (byte-level BPE).");
}

void name_pre_tokenizer(gguf_metadata& metadata, std::string_view name) {
  constexpr const char* key = "tokenizer.ggml.pre";
  bpe_encoder::find_variant(name);
  if (metadata.get_string("tokenizer.ggml.model").value_or("none") != "gpt2") {
    throw error(sqlstate::invalid_parameter_value, "only a byte-level BPE vocabulary has a pre-tokenizer");
  }
  std::string const named = metadata.get_string(key).value_or("default");
  if (named != "default" && named != name) {
    throw error(sqlstate::invalid_parameter_value,
                "the file names another pre-tokenizer, " + show_name(named) + ", than " + show_name(name), {},
                "Leave out the argument pre_tokenizer.");
  }
  metadata.set_string(key, name);
}

void check_tokens(const gguf_metadata& metadata, interrupt_checker& interrupts) {
  const gguf_kv* kind = metadata.find("tokenizer.ggml.model");
  if (kind == nullptr || kind->type != gguf_type::string) return;
  std::string const name = *metadata.get_string("tokenizer.ggml.model");
  if (name == "llama" || name == "gpt2") require_unique_tokens(metadata, interrupts);
}

}  // namespace hartonomous
