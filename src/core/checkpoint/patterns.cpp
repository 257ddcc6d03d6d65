// Known patterns (patterns.hpp).
#include "checkpoint/patterns.hpp"

#include "bytes/text.hpp"
#include "checkpoint/json.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

struct known_pattern {
  const char* regex;
  const char* pre;  // if a word that is a token is taken whole
  const char* pre_merged;
};

// What the patterns of newer vocabularies have in common behind words and numbers.
#define HARTONOMOUS_REST "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define HARTONOMOUS_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define HARTONOMOUS_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define HARTONOMOUS_LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define HARTONOMOUS_SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"

constexpr known_pattern patterns[] = {
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
     "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
     "|\\s+(?!\\S)|\\s+",
     "llama-bpe", "dbrx"},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+"
     "|\\s+(?!\\S)|\\s+",
     nullptr, "qwen2"},
    {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", nullptr, "gpt-2"},
    {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*"
     "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
     nullptr, "qwen35"},
    {HARTONOMOUS_LEAD HARTONOMOUS_UPPER "*" HARTONOMOUS_LOWER "+|" HARTONOMOUS_LEAD HARTONOMOUS_UPPER
                                        "+" HARTONOMOUS_LOWER "*|\\p{N}" HARTONOMOUS_REST,
     "tekken", nullptr},
    // llama.cpp merges here, also if the tokenizer takes words whole. A vocabulary whose whole words do not arise by
    // merging would be split otherwise than by its own tokenizer.
    {HARTONOMOUS_LEAD HARTONOMOUS_UPPER "*" HARTONOMOUS_LOWER "+" HARTONOMOUS_SUFFIX
                                        "|" HARTONOMOUS_LEAD HARTONOMOUS_UPPER "+" HARTONOMOUS_LOWER
                                        "*" HARTONOMOUS_SUFFIX "|\\p{N}{1,3}" HARTONOMOUS_REST,
     "gpt-4o", "gpt-4o"},
};

#undef HARTONOMOUS_REST
#undef HARTONOMOUS_UPPER
#undef HARTONOMOUS_LOWER
#undef HARTONOMOUS_LEAD
#undef HARTONOMOUS_SUFFIX

}  // namespace

std::string name_of_pattern(const std::string& regex, bool whole_words, std::string_view named) {
  for (const known_pattern& p : patterns) {
    const char* name = whole_words ? p.pre : p.pre_merged;
    if (regex == p.regex && name != nullptr) return name;
  }
  if (!named.empty()) return std::string(named);
  not_supported("the tokenizer splits text into words by an unknown pattern", "It is " + show_name(regex) + ".");
}

}  // namespace hartonomous::checkpoint_detail
