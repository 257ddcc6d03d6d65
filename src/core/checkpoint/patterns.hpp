// The patterns by which tokenizer.json has text split into words.
#pragma once

#include <string>
#include <string_view>

namespace hartonomous::checkpoint_detail {

// GGUF's name (tokenizer.ggml.pre) of the rule with this regular expression; `whole_words` if a word that is a token is
// taken whole. For a pattern that is not known, `named`; error 0A000 if that is empty.
std::string name_of_pattern(const std::string& regex, bool whole_words, std::string_view named);

}  // namespace hartonomous::checkpoint_detail
