// libFuzzer: a vocabulary and a text of any bytes. Whatever the metadata, the tokens are of the vocabulary; where every
// byte has a token of its own, the text comes back.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "hartonomous/error.hpp"
#include "hartonomous/tokenizer.hpp"

namespace {

using namespace hartonomous;

void require(bool condition) {
  if (!condition) std::abort();
}

constexpr char visible_space[] = "\xe2\x96\x81";

// Takes the input apart.
class reader {
 public:
  reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  unsigned byte() { return size_ == 0 ? 0 : (--size_, *data_++); }
  std::string text(std::size_t length) {
    length = std::min(length, size_);
    std::string const out(reinterpret_cast<const char*>(data_), length);
    data_ += length;
    size_ -= length;
    return out;
  }
  std::string rest() { return text(size_); }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

std::string byte_token(bool bpe, unsigned b) {
  if (!bpe) {
    constexpr char digits[] = "0123456789ABCDEF";
    return std::string("<0x") + digits[b >> 4] + digits[b & 15] + ">";
  }
  const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
  const unsigned code = printable ? b : b < 0x21 ? 256 + b : b < 0xa1 ? 256 + 33 + b - 0x7f : 323;
  if (code < 128) return std::string(1, static_cast<char>(code));
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 63))};
}

struct vocabulary {
  gguf_metadata metadata;
  bool bpe;
  bool round_trips;  // every byte has its token, none is special
};

vocabulary read_vocabulary(reader& in) {
  const unsigned flags = in.byte();
  vocabulary v;
  v.bpe = (flags & 1) != 0;
  v.round_trips = (flags & 2) != 0;
  std::vector<std::string> tokens;
  std::vector<std::int32_t> types;
  std::vector<float> scores;
  const auto add = [&](const std::string& text, std::int32_t type, float score) {
    if (v.round_trips && std::find(tokens.begin(), tokens.end(), text) != tokens.end()) return;
    tokens.push_back(text);
    types.push_back(type);
    scores.push_back(score);
  };
  if (v.round_trips) {
    for (unsigned b = 0; b < 256; ++b) add(byte_token(v.bpe, b), v.bpe ? 1 : 6, 0);
    add(visible_space, 1, 0);
  }
  std::vector<std::string> merges;
  for (unsigned count = in.byte() % 64; count > 0; --count) {
    const unsigned type = in.byte();
    const float score = static_cast<float>(in.byte()) / 16 - 8;
    std::string const text = in.text(in.byte() % 8);
    if (type >= 128) merges.push_back(text);
    // In a vocabulary that must round-trip BPE's tokens are of its alphabet only, and nothing spells a token of SPM.
    const bool plain = std::all_of(text.begin(), text.end(), [](char c) { return c > '!' && c < 127 && c != '<'; });
    if (!v.round_trips || plain) add(text, v.round_trips ? 1 : static_cast<std::int32_t>(type % 8), score);
  }
  static constexpr const char* variants[] = {"gpt-2", "llama-bpe", "qwen2", "smollm"};
  v.metadata.set_string("tokenizer.ggml.model", v.bpe ? "gpt2" : "llama");
  v.metadata.set_string("tokenizer.ggml.pre", variants[(flags >> 2) & 3]);
  v.metadata.set_strings("tokenizer.ggml.tokens", tokens);
  v.metadata.set_strings("tokenizer.ggml.merges", merges);
  v.metadata.set_ints("tokenizer.ggml.token_type", types);
  v.metadata.set_floats("tokenizer.ggml.scores", scores);
  if ((flags & 16) != 0) v.metadata.set_uint32("tokenizer.ggml.unknown_token_id", in.byte());
  if ((flags & 32) != 0) v.metadata.set_bool("tokenizer.ggml.add_eos_token", true);
  if ((flags & 64) != 0) v.metadata.set_bool("tokenizer.ggml.add_space_prefix", (flags & 128) != 0);
  return v;
}

std::string with_plain_spaces(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool space = text.compare(i, 3, visible_space) == 0;
    out += space ? ' ' : text[i];
    if (space) i += 2;
  }
  return out;
}

void check(const tokenizer& t, const vocabulary& v, const std::string& text, bool parse_special) {
  no_interrupts interrupts;
  const std::vector<std::int32_t> tokens = t.encode(text, false, parse_special, interrupts);
  for (std::int32_t const token : tokens) require(token >= 0 && static_cast<std::size_t>(token) < t.size());
  std::string const back = t.decode(tokens, true, interrupts);
  // The end tokens of chat models are control tokens whatever the metadata says, and those are spelled as they are.
  if (v.round_trips) require(back == (v.bpe ? text : with_plain_spaces(text)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  reader in(bytes, size);
  no_interrupts interrupts;
  try {
    const vocabulary v = read_vocabulary(in);
    const auto t = tokenizer::create(v.metadata, interrupts);
    std::string const text = in.rest();
    check(*t, v, text, false);
    check(*t, v, text, true);
    t->encode(text, true, true, interrupts);
  } catch (const error&) {
  }
  // The metadata as JSON, as a user may have changed it.
  try {
    gguf_metadata metadata;
    metadata_from_json({reinterpret_cast<const char*>(bytes), size}, metadata);
    tokenizer::create(metadata, interrupts)->encode("Hello <s> world\n", true, true, interrupts);
  } catch (const error&) {
  }
  return 0;
}
