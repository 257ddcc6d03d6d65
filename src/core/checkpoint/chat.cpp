// Reading names and chat templates (chat.hpp).
#include "checkpoint/chat.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "bytes/text.hpp"

namespace hartonomous::checkpoint_detail {

namespace {

// Other characters of a template's name become an underscore in its key.
std::string key_part(std::string name) {
  std::replace_if(
      name.begin(), name.end(),
      [](char c) {
        const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        return !letter && c != '_';
      },
      '_');
  return name;
}

std::string last_part(std::string path) {
  while (!path.empty() && path.back() == '/') path.pop_back();
  const std::size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

}  // namespace

void describe_name(const json& config, const json& tokenizer_config, gguf_metadata& metadata) {
  std::string name = members(config, "config: ").text("_name_or_path").value_or("");
  if (name.empty() && !tokenizer_config.is_null()) {
    name = members(tokenizer_config, "tokenizer_config: ").text("name_or_path").value_or("");
  }
  name = last_part(name);
  if (!name.empty() && name != "." && name != "..") metadata.set_string("general.name", name);
}

void describe_chat_templates(const json& tokenizer_config, gguf_metadata& metadata) {
  const members config(tokenizer_config, "tokenizer_config: ");
  const json* value = config.find("chat_template");
  if (value == nullptr) return;
  std::string const name = config.name("chat_template");
  if (!value->is_array()) {
    metadata.set_string("tokenizer.chat_template", text_of(*value, name));
    return;
  }
  std::vector<std::string> others;
  for (const json& item : *value) {
    const members at(item, name + "[].");
    std::string const which = key_part(std::string(text_of(at.at("name"), at.name("name"))));
    std::string_view const text = text_of(at.at("template"), at.name("template"));
    if (which == "default") {
      metadata.set_string("tokenizer.chat_template", text);
    } else if (which.empty() || std::find(others.begin(), others.end(), which) != others.end()) {
      refuse(name + " has two templates of one name, or one without a name");
    } else {
      others.push_back(which);
      metadata.set_string("tokenizer.chat_template." + which, text);
    }
  }
  if (!others.empty()) metadata.set_strings("tokenizer.chat_templates", others);
}

}  // namespace hartonomous::checkpoint_detail
