// Reads tokenizer.json (vocabulary.hpp).
#include "checkpoint/vocabulary.hpp"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <unordered_map>

#include "bytes/text.hpp"
#include "checkpoint/patterns.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

constexpr char visible_space[] = "\xe2\x96\x81";  // U+2581

// Values of token_type.
constexpr std::int32_t normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6;

// ---- how text is normalized and split --------------------------------------------------------------------------

std::string type_of(const json& step, const std::string& name) {
  return members(step, name + ".").text("type").value_or("");
}

// The steps of a pipeline: none, one, or a sequence of them in the member `list`.
std::vector<const json*> steps_of(const members& tokenizer, const char* key, const char* list) {
  const json* value = tokenizer.find(key);
  if (value == nullptr) return {};
  if (type_of(*value, tokenizer.name(key)) != "Sequence") return {value};
  const json& all = tokenizer.object(key).at(list);
  if (!all.is_array()) refuse(tokenizer.name(key) + " has no steps");
  std::vector<const json*> steps;
  for (const json& step : all) steps.push_back(&step);
  return steps;
}

// What the steps do together.
struct pipeline {
  bool visible_spaces = false;  // SentencePiece's
  bool space_before = false;
  std::string pre;  // for byte-level BPE, GGUF's name of the splitting rule; empty if there is no byte-level step
};

void read_normalizers(const members& tokenizer, pipeline& out) {
  std::string const name = tokenizer.name("normalizer");
  for (const json* step : steps_of(tokenizer, "normalizer", "normalizers")) {
    std::string const type = type_of(*step, name);
    const members at(*step, name + ".");
    if (type == "Prepend" && at.text("prepend") == visible_space) {
      out.space_before = true;
    } else if (type == "Replace" && at.text("content") == visible_space) {
      if (at.object("pattern").text("String") != " ") {
        not_supported("the tokenizer replaces something other than spaces by visible spaces");
      }
      out.visible_spaces = true;
    } else if (type != "NFC") {  // GGUF's tokenizers do not normalize to NFC, either
      not_supported("unknown normalizer " + show_name(type) + " of the tokenizer");
    }
  }
}

void read_metaspace(const members& step, pipeline& out) {
  if (step.text("replacement").value_or(visible_space) != visible_space) {
    not_supported("the visible space of the tokenizer is not U+2581");
  }
  out.visible_spaces = true;
  std::string const scheme = step.text("prepend_scheme").value_or("always");
  out.space_before = scheme != "never" && step.flag("add_prefix_space").value_or(true);
}

// The supported patterns match every character of a text, so isolating the matches is the same as removing what lies
// between.
void check_split(const members& step) {
  const bool inverted = step.flag("invert").value_or(false);
  std::string const behavior = step.text("behavior").value_or("Isolated");
  if (behavior != (inverted ? "Removed" : "Isolated")) {
    not_supported("the tokenizer splits text into words by behavior " + show_name(behavior) +
                  (inverted ? ", inverted" : ""));
  }
}

void read_pre_tokenizers(const members& tokenizer, bool whole_words, std::string_view named, pipeline& out) {
  std::string const name = tokenizer.name("pre_tokenizer");
  std::string pattern;
  bool digits = false;
  for (const json* step : steps_of(tokenizer, "pre_tokenizer", "pretokenizers")) {
    std::string const type = type_of(*step, name);
    const members at(*step, name + ".");
    if (type == "Metaspace") {
      read_metaspace(at, out);
    } else if (type == "Split" && pattern.empty() && !digits) {
      check_split(at);
      pattern = at.object("pattern").text("Regex").value_or("");
      out.pre = name_of_pattern(pattern, whole_words, named);
    } else if (type == "Digits" && at.flag("individual_digits").value_or(false)) {
      digits = true;
    } else if (type == "ByteLevel") {
      if (at.flag("add_prefix_space").value_or(true)) not_supported("a tokenizer that adds a space before text");
      const bool words = at.flag("use_regex").value_or(true);
      if (words == !pattern.empty() || (whole_words && pattern.empty())) {
        not_supported("unknown order of steps in the tokenizer");
      }
      if (pattern.empty()) out.pre = digits ? "smollm" : "gpt-2";
    } else {
      not_supported("unknown step " + show_name(type) + " of the tokenizer");
    }
  }
}

// ---- tokens ----------------------------------------------------------------------------------------------------

struct token_table {
  std::vector<std::string> texts;
  std::vector<std::int32_t> types;  // 0: an id without a token
  std::unordered_map<std::string, std::uint32_t> ids;

  // Added tokens that are also in the vocabulary are listed again with the same id.
  void set(const std::string& text, std::uint32_t id, std::int32_t type) {
    if (id >= texts.size()) {
      refuse("tokenizer: token " + show_name(text) + " is beyond the config's vocab_size",
             "Its number is " + std::to_string(id) + " of " + std::to_string(texts.size()) + ".");
    }
    const auto [place, is_new] = ids.emplace(text, id);
    if (!is_new && place->second != id) {
      refuse("tokenizer: token " + show_name(text) + " occurs twice",
             "Its numbers are " + std::to_string(place->second) + " and " + std::to_string(id) + ".");
    }
    if (types[id] != 0 && texts[id] != text) {
      refuse("tokenizer: number " + std::to_string(id) + " belongs to two tokens",
             "They are " + show_name(texts[id]) + " and " + show_name(text) + ".");
    }
    texts[id] = text;
    types[id] = type;
  }
};

bool is_byte_token(std::string_view text) noexcept {
  return text.size() == 6 && text.substr(0, 3) == "<0x" && text[5] == '>';
}

// Tokens that llama.cpp's converter treats as special although they are not marked so.
bool looks_special(std::string_view text) noexcept {
  for (std::string_view const known : {"<pad>", "<mask>", "<2mass>", "[@BOS@]"}) {
    if (text == known) return true;
  }
  struct {
    std::string_view begin, end;
  } constexpr brackets[] = {{"<|", "|>"}, {"<\xef\xbd\x9c", "\xef\xbd\x9c>"}, {"<unused", ">"}};  // U+FF5C: wide bar
  return std::any_of(std::begin(brackets), std::end(brackets), [&](const auto& b) {
    return text.size() >= std::max(b.begin.size(), b.end.size()) && text.substr(0, b.begin.size()) == b.begin &&
           text.substr(text.size() - b.end.size()) == b.end;
  });
}

void read_added_tokens(const members& tokenizer, token_table& table) {
  const json* added = tokenizer.find("added_tokens");
  if (added == nullptr) return;
  if (!added->is_array()) refuse("tokenizer: added_tokens is not an array");
  for (const json& value : *added) {
    const members token(value, "tokenizer: added_tokens.");
    std::string const text(text_of(token.at("content"), token.name("content")));
    const bool special = token.flag("special").value_or(false) || looks_special(text);
    table.set(text, natural_of(token.at("id"), token.name("id")), special ? control : user_defined);
  }
}

token_table read_tokens(const members& tokenizer, const members& model, const checkpoint_config& config, bool bytes,
                        interrupt_checker& interrupts) {
  constexpr std::uint32_t most = std::uint32_t{1} << 22;
  if (config.vocabulary > most) {
    throw error(sqlstate::program_limit_exceeded,
                "config: vocab_size is " + std::to_string(config.vocabulary) + ", more than " + std::to_string(most));
  }
  token_table table;
  table.texts.resize(config.vocabulary);
  table.types.resize(config.vocabulary);
  const json& words = model.at("vocab");
  if (!words.is_object()) refuse("tokenizer: model.vocab is not an object");
  for (const auto& [text, id] : words.items()) {
    if (table.ids.size() % 4096 == 0) interrupts.check();
    table.set(text, natural_of(id, "tokenizer: model.vocab"), bytes && is_byte_token(text) ? byte : normal);
  }
  read_added_tokens(tokenizer, table);
  // The embedding often has more rows than the vocabulary has tokens.
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    if (table.types[i] != 0) continue;
    std::string filler = "[PAD" + std::to_string(i) + "]";
    while (!table.ids.emplace(filler, static_cast<std::uint32_t>(i)).second) filler.insert(1, "_");
    table.texts[i] = filler;
    table.types[i] = unused;
  }
  return table;
}

// Both parts of each merge, in order of rank: "left right" or, in newer files, ["left", "right"].
std::vector<std::pair<std::string, std::string>> read_merges(const members& model) {
  const json& merges = model.at("merges");
  if (!merges.is_array()) refuse("tokenizer: model.merges is not an array");
  std::vector<std::pair<std::string, std::string>> out;
  for (const json& merge : merges) {
    std::string const name = "tokenizer: model.merges[" + std::to_string(out.size()) + "]";
    if (merge.is_array() && merge.size() == 2) {
      out.emplace_back(text_of(merge[0], name), text_of(merge[1], name));
      continue;
    }
    std::string_view const both = text_of(merge, name);
    std::size_t const space = both.find(' ', 1);
    if (space == std::string::npos) refuse(name + " is not two parts with a space between them");
    out.emplace_back(both.substr(0, space), both.substr(space + 1));
  }
  return out;
}

// ---- special tokens --------------------------------------------------------------------------------------------

// The tokens that the tokenizer adds before and after every text.
struct surroundings {
  bool known = false;
  std::string before, behind;
};

surroundings read_post_processor(const members& tokenizer) {
  surroundings out;
  std::string const name = tokenizer.name("post_processor");
  for (const json* step : steps_of(tokenizer, "post_processor", "processors")) {
    std::string const type = type_of(*step, name);
    if (type == "ByteLevel") continue;  // changes only offsets
    if (type != "TemplateProcessing") not_supported("unknown post-processor " + show_name(type) + " of the tokenizer");
    const members at(*step, name + ".");
    const json& single = at.at("single");
    if (!single.is_array() || single.empty()) refuse(name + ".single is not an array of parts");
    const auto special = [&](const json& part) {
      const json* token = members(part, name + ".single.").find("SpecialToken");
      return token == nullptr ? std::string() : members(*token, name + ".single.SpecialToken.").text("id").value_or("");
    };
    out.known = true;
    out.before = special(single.front());
    out.behind = special(single.back());
  }
  return out;
}

// Where a tokenizer says which of its tokens are special.
struct special_texts {
  const members& tokenizer;
  const members& model;
  const json& config;  // tokenizer_config.json or null
};

// The text of a special token in tokenizer_config.json: a text, or an added token with its flags; empty if there is
// none.
std::string special_text(const json& config, const std::string& key) {
  if (config.is_null()) return {};
  const members at(config, "tokenizer_config: ");
  const json* value = at.find(key.c_str());
  if (value == nullptr) return {};
  if (value->is_object()) return members(*value, at.name(key.c_str()) + ".").text("content").value_or("");
  return std::string(text_of(*value, at.name(key.c_str())));
}

std::optional<bool> special_flag(const json& config, const char* key) {
  if (config.is_null()) return std::nullopt;
  return members(config, "tokenizer_config: ").flag(key);
}

void describe_special(const special_texts& texts, const checkpoint_config& config, token_table& table,
                      gguf_metadata& metadata) {
  const surroundings around = read_post_processor(texts.tokenizer);
  const auto find = [&](const std::string& text) {
    auto const at = table.ids.find(text);
    return at == table.ids.end() ? std::nullopt : std::optional<std::uint32_t>(at->second);
  };
  const auto choose = [&](const char* key, std::optional<std::uint32_t> in_config, const std::string& last) {
    if (const auto named = find(special_text(texts.config, key))) return named;
    return in_config ? in_config : find(last);
  };
  const auto set = [&](const char* key, std::optional<std::uint32_t> token) {
    if (!token) return;
    if (*token >= table.texts.size()) refuse("config: a special token is beyond vocab_size");
    metadata.set_uint32(key, *token);
  };
  const std::optional<std::uint32_t> bos = choose("bos_token", config.bos, around.before);
  const std::optional<std::uint32_t> eos = choose("eos_token", config.eos, around.behind);
  set("tokenizer.ggml.bos_token_id", bos);
  set("tokenizer.ggml.eos_token_id", eos);
  set("tokenizer.ggml.padding_token_id", choose("pad_token", config.padding, {}));
  set("tokenizer.ggml.seperator_token_id", choose("sep_token", std::nullopt, {}));  // GGUF spells it so
  set("tokenizer.ggml.mask_token_id", choose("mask_token", std::nullopt, {}));
  if (const auto id = find(texts.model.text("unk_token").value_or(""))) {
    table.types[*id] = unknown;
    set("tokenizer.ggml.unknown_token_id", id);
  }
  std::optional<bool> add_bos = special_flag(texts.config, "add_bos_token");
  std::optional<bool> add_eos = special_flag(texts.config, "add_eos_token");
  if (around.known && !add_bos) add_bos = bos && find(around.before) == bos;
  if (around.known && !add_eos) add_eos = eos && find(around.behind) == eos;
  // Without any of them the defaults of the tokenizer apply.
  if (add_bos) metadata.set_bool("tokenizer.ggml.add_bos_token", *add_bos && bos);
  if (add_eos) metadata.set_bool("tokenizer.ggml.add_eos_token", *add_eos && eos);
}

// ---- the two kinds of tokenizers -------------------------------------------------------------------------------

// SentencePiece merges by the score of the resulting token, BPE by the rank of the pair. Minus the rank of the first
// merge that makes a token is a score that gives the same order. Tokens that no merge makes come last.
std::vector<float> scores_of(const token_table& table, const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<float> scores(table.texts.size(), -static_cast<float>(merges.size()) - 1);
  for (std::size_t i = merges.size(); i-- > 0;) {
    const auto made = table.ids.find(merges[i].first + merges[i].second);
    if (made != table.ids.end()) scores[made->second] = -static_cast<float>(i);
  }
  return scores;
}

std::vector<std::string> joined(const std::vector<std::pair<std::string, std::string>>& merges) {
  std::vector<std::string> out;
  out.reserve(merges.size());
  for (const auto& [left, right] : merges) {
    out.push_back(left);
    out.back().append(1, ' ').append(right);
  }
  return out;
}

}  // namespace

void describe_vocabulary(const vocabulary_texts& texts, const checkpoint_config& config, gguf_metadata& metadata,
                         interrupt_checker& interrupts) {
  const members tokenizer(texts.tokenizer, "tokenizer: ");
  const members model = tokenizer.object("model");
  std::string const type = model.text("type").value_or("BPE");
  if (type != "BPE") not_supported("unknown model " + show_name(type) + " of the tokenizer", "Known is BPE.");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!model.text(key).value_or("").empty()) not_supported("the tokenizer marks parts of words: " + model.name(key));
  }
  if (model.number("dropout").value_or(0) != 0)
    not_supported("the tokenizer merges at random: " + model.name("dropout"));
  pipeline steps;
  read_normalizers(tokenizer, steps);
  read_pre_tokenizers(tokenizer, model.flag("ignore_merges").value_or(false), texts.pre_tokenizer, steps);
  const bool spm = steps.pre.empty();
  if (spm != steps.visible_spaces || spm != model.flag("byte_fallback").value_or(false)) {
    not_supported("the tokenizer is neither byte-level BPE nor a SentencePiece model with tokens for bytes");
  }
  token_table table = read_tokens(tokenizer, model, config, spm, interrupts);
  const auto merges = read_merges(model);
  interrupts.check();
  metadata.set_string("tokenizer.ggml.model", spm ? "llama" : "gpt2");
  if (!spm) metadata.set_string("tokenizer.ggml.pre", steps.pre);
  describe_special({tokenizer, model, texts.config}, config, table, metadata);
  metadata.set_strings("tokenizer.ggml.tokens", table.texts);
  if (spm) metadata.set_floats("tokenizer.ggml.scores", scores_of(table, merges));
  metadata.set_ints("tokenizer.ggml.token_type", table.types);
  if (!spm) metadata.set_strings("tokenizer.ggml.merges", joined(merges));
  if (spm) metadata.set_bool("tokenizer.ggml.add_space_prefix", steps.space_before);
}

}  // namespace hartonomous::checkpoint_detail
