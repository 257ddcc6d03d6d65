// Byte-level BPE (bpe.hpp).
#include "tokenizer/bpe.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "bytes/text.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::tokenizer_detail {

namespace {

// ---- the alphabet: a printable byte stands for itself, the others for the characters from U+0100 on, in order ----

struct alphabet {
  std::array<std::uint16_t, 256> code{};  // of each byte
  std::array<std::int16_t, 324> byte{};   // of each code; -1 if it is not in the alphabet
};

constexpr alphabet make_alphabet() {
  alphabet a;
  for (std::int16_t& b : a.byte) b = -1;
  std::uint16_t next = 256;
  for (unsigned b = 0; b < 256; ++b) {
    const bool printable = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
    a.code[b] = printable ? static_cast<std::uint16_t>(b) : next++;
    a.byte[a.code[b]] = static_cast<std::int16_t>(b);
  }
  return a;
}
constexpr alphabet letters = make_alphabet();

void append_letter(std::string& out, unsigned char byte) {
  std::uint16_t const code = letters.code[byte];
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else {
    out += {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
  }
}

// ---- the variants ----

constexpr split_rules gpt2_rules = {false, false, 0, false, false};
constexpr split_rules smollm_rules = {false, false, 0, false, true};
constexpr split_rules llama3_rules = {true, true, 3, true, false};
constexpr split_rules qwen2_rules = {true, true, 1, true, false};
constexpr split_rules qwen35_rules = {true, true, 1, true, false, true};
constexpr split_rules tekken_rules = {true, true, 1, true, false, false, true, true};
constexpr split_rules gpt4o_rules = {true, true, 3, true, false, false, true, true, true};

struct named_variant {
  const char* name;
  bpe_encoder::variant is;
};
// The names of llama.cpp v0.5.0 for these rules.
constexpr named_variant variants[] = {
    {"gpt-2", {gpt2_rules, false, false}},
    {"phi-2", {gpt2_rules, false, false}},
    {"mpt", {gpt2_rules, false, false}},
    {"olmo", {gpt2_rules, false, false}},
    {"jina-es", {gpt2_rules, false, false}},
    {"jina-de", {gpt2_rules, false, false}},
    {"jina-v2-es", {gpt2_rules, false, false}},
    {"jina-v2-de", {gpt2_rules, false, false}},
    {"gigachat", {gpt2_rules, false, false}},
    {"a.x-4.0", {gpt2_rules, false, false}},
    {"mellum", {gpt2_rules, false, false}},
    {"modern-bert", {gpt2_rules, false, false}},
    {"exaone4", {gpt2_rules, false, false}},
    {"jais", {gpt2_rules, false, false}},
    {"trillion", {gpt2_rules, false, false}},
    {"granite-docling", {gpt2_rules, false, false}},
    {"llama-bpe", {llama3_rules, true, true}},
    {"llama3", {llama3_rules, true, true}},
    {"llama-v3", {llama3_rules, true, true}},
    {"falcon3", {llama3_rules, true, true}},
    {"falcon-h1", {llama3_rules, true, true}},
    {"pixtral", {llama3_rules, true, true}},
    {"midm-2.0", {llama3_rules, true, true}},
    {"lfm2", {llama3_rules, true, true}},
    {"jina-v5-nano", {llama3_rules, true, true}},
    {"dbrx", {llama3_rules, false, false}},
    {"smaug-bpe", {llama3_rules, false, false}},
    {"chatglm-bpe", {llama3_rules, false, false}},
    {"glm4", {llama3_rules, false, false}},
    {"qwen2", {qwen2_rules, false, false}},
    {"deepseek-r1-qwen", {qwen2_rules, false, false}},
    {"megrez", {qwen2_rules, false, false}},
    {"stablelm2", {qwen2_rules, false, false}},
    {"kormo", {qwen2_rules, false, false}},
    {"f2llmv2", {qwen2_rules, false, false}},
    {"hunyuan", {qwen2_rules, false, false}},
    {"solar-open", {qwen2_rules, false, false}},
    {"grok-2", {qwen2_rules, false, false}},
    {"smollm", {smollm_rules, false, false}},
    {"starcoder", {smollm_rules, false, false}},
    {"refact", {smollm_rules, false, false}},
    {"command-r", {smollm_rules, false, false}},
    {"codeshell", {smollm_rules, false, false}},
    {"exaone", {smollm_rules, false, false}},
    {"minerva-7b", {smollm_rules, false, false}},
    {"mellum2", {smollm_rules, false, false}},
    {"qwen35", {qwen35_rules, false, false}},
    {"tekken", {tekken_rules, true, true}},
    {"gpt-4o", {gpt4o_rules, false, false}},
    {"llama4", {gpt4o_rules, false, false}},
    {"kanana2", {gpt4o_rules, false, false}},
    {"talkie", {gpt4o_rules, false, false}},
    {"minimax-m2", {gpt4o_rules, false, false}},
};

}  // namespace

bpe_encoder::variant bpe_encoder::find_variant(const gguf_metadata& metadata) {
  if (metadata.find("tokenizer.ggml.pre") == nullptr) {
    throw error(sqlstate::invalid_binary_representation, "metadata key \"tokenizer.ggml.pre\" is missing",
                "It tells how text is split into words before merging.",
                "If you know the rule, import the file again and name it in the argument pre_tokenizer.");
  }
  return find_variant(required(metadata, "tokenizer.ggml.pre", &gguf_metadata::get_string));
}

bpe_encoder::variant bpe_encoder::find_variant(std::string_view name) {
  for (const named_variant& v : variants) {
    if (name == v.name) return v.is;
  }
  std::string known;
  for (const named_variant& v : variants) known += (known.empty() ? "" : ", ") + std::string(v.name);
  throw error(sqlstate::feature_not_supported, "unknown pre-tokenizer " + show_name(name),
              "It tells how text is split into words before merging.", "Known are " + known + ".");
}

bpe_encoder::bpe_encoder(const variant& as, const vocabulary& words, const gguf_metadata& metadata,
                         interrupt_checker& interrupts)
    : words_(words), as_(as) {
  const std::vector<std::string> merges = required(metadata, "tokenizer.ggml.merges", &gguf_metadata::get_strings);
  for (unsigned b = 0; b < 256; ++b) {
    std::string letter;
    append_letter(letter, static_cast<unsigned char>(b));
    byte_symbols_[b] = symbol_of(letter);
  }
  merges_ = hash_table<merge_rule>(merges.size());
  work_meter work(interrupts);
  for (std::size_t i = 0; i < merges.size(); ++i) {
    work.step();
    // The space between the two parts; the first part may begin with a space.
    std::size_t const space = merges[i].find(' ', 1);
    if (space == std::string::npos) {
      throw error(sqlstate::invalid_binary_representation,
                  "merge " + std::to_string(i) + " of the vocabulary is not two parts with a space between them",
                  "It is " + show_name(merges[i]) + ".");
    }
    std::string joined = merges[i];
    joined.erase(space, 1);
    std::string_view const both = merges[i];
    std::int32_t const left = symbol_of(both.substr(0, space));
    std::int32_t const right = symbol_of(both.substr(space + 1));
    merges_.insert(static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right),
                   {static_cast<std::int32_t>(i), symbol_of(joined)});
  }
}

std::int32_t bpe_encoder::symbol_of(std::string_view text) {
  std::int32_t const token = words_.tokens.find(text);
  return token >= 0 ? token : static_cast<std::int32_t>(words_.tokens.size()) + parts_.add(text);
}

void bpe_encoder::add_bytes(std::string_view word, merger& symbols) const {
  symbols.clear();
  for (std::size_t i = 0; i < word.size(); ++i) {
    symbols.add(static_cast<std::uint32_t>(i), 1, byte_symbols_[static_cast<unsigned char>(word[i])]);
  }
}

bool bpe_encoder::find_pair(const symbol& left, const symbol& right, candidate& found) const {
  const auto* rule = merges_.find(static_cast<std::uint64_t>(left.id) << 32 | static_cast<std::uint64_t>(right.id));
  if (rule == nullptr) return false;
  found.order = rule->rank;
  found.id = rule->result;
  return true;
}

std::vector<std::int32_t> bpe_encoder::basic_tokens() const {
  std::vector<std::int32_t> tokens(byte_symbols_.begin(), byte_symbols_.end());
  for (std::int32_t& token : tokens) token = token < static_cast<std::int32_t>(words_.tokens.size()) ? token : -1;
  return tokens;
}

void bpe_encoder::each_part(std::string_view token, work_meter& work,
                            const std::function<void(std::int32_t)>& visit) const {
  std::string bytes;
  append_text(bytes, token);
  merger symbols(work);
  add_bytes(bytes, symbols);
  symbols.merge(
      [&](const symbol& left, const symbol& right, candidate& found) { return find_pair(left, right, found); },
      [&](const symbol& made) {
        if (made.id < static_cast<std::int32_t>(words_.tokens.size())) visit(made.id);
      });
}

void bpe_encoder::encode_word(std::string_view word, merger& symbols, std::vector<std::int32_t>& out) const {
  if (as_.ignore_merges) {
    std::string spelled;
    for (std::size_t i = 0; i < word.size() && spelled.size() <= words_.tokens.longest(); ++i) {
      append_letter(spelled, static_cast<unsigned char>(word[i]));
    }
    std::int32_t const token = words_.tokens.find(spelled);
    if (token >= 0) {
      out.push_back(token);
      return;
    }
  }
  add_bytes(word, symbols);
  symbols.merge(
      [&](const symbol& left, const symbol& right, candidate& found) { return find_pair(left, right, found); });
  const auto tokens = static_cast<std::int32_t>(words_.tokens.size());
  symbols.each([&](const symbol& s) {
    if (s.id < tokens) {
      out.push_back(s.id);
      return;
    }
    for (std::size_t i = 0; i < s.length; ++i) {
      auto const byte = static_cast<unsigned char>(word[s.begin + i]);
      out.push_back(byte_symbols_[byte] < tokens ? byte_symbols_[byte] : words_.unknown_for(byte));
    }
  });
}

void bpe_encoder::encode(std::string_view text, std::vector<std::int32_t>& out, work_meter& work) const {
  splitter words(as_.rules, text, work);
  merger symbols(work);
  std::string_view word;
  while (words.next(word)) encode_word(word, symbols, out);
}

// Characters outside the alphabet are copied unchanged.
void bpe_encoder::append_text(std::string& out, std::string_view token) {
  for (std::size_t i = 0; i < token.size(); ++i) {
    auto code = static_cast<unsigned char>(token[i]) + 0U;
    const bool two = (code & 0xe0) == 0xc0 && i + 1 < token.size();
    if (two) code = (code & 0x1f) << 6 | (static_cast<unsigned char>(token[i + 1]) & 0x3fU);
    if ((two || code < 0x80) && code < letters.byte.size() && letters.byte[code] >= 0) {
      out += static_cast<char>(letters.byte[code]);
      i += two ? 1 : 0;
    } else {
      out += token[i];
    }
  }
}

}  // namespace hartonomous::tokenizer_detail
