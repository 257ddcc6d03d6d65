// Parses config.json and tokenizer.json within limits, and looks up members with errors that say what is wrong.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "hartonomous/error.hpp"
#include "hartonomous/interrupt.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous::checkpoint_detail {

using json = nlohmann::json;

// Error 22P02 if it is not JSON, 54000 if it is nested deeper than 64 levels.
json parse_json(std::string_view text, const char* what, interrupt_checker& interrupts);

// Errors 22023 and 0A000.
[[noreturn]] void refuse(const std::string& what, const std::string& detail = {},
                         source_location thrown = source_location::current());
[[noreturn]] void not_supported(const std::string& what, const std::string& detail = {},
                                source_location thrown = source_location::current());

// The members of an object; a member that is null counts as missing. Error 22023 names the member after `path`, as in
// "config: rope_scaling.factor".
class members {
 public:
  members(const json& value, std::string path);

  const json* find(const char* key) const;                          // nullptr if it is missing
  bool has(const char* key) const { return value_.contains(key); }  // also if it is null
  const json& at(const char* key) const;
  members object(const char* key) const { return {at(key), name(key) + "."}; }

  std::optional<std::string> text(const char* key) const;
  std::optional<double> number(const char* key) const;          // finite
  std::optional<std::uint32_t> natural(const char* key) const;  // 0 to 2^31 - 1
  std::optional<bool> flag(const char* key) const;
  std::uint32_t positive(const char* key) const;  // required, at least 1

  std::string name(const char* key) const { return path_ + key; }

 private:
  const json& value_;
  std::string path_;
};

std::uint32_t natural_of(const json& value, const std::string& name);
std::string_view text_of(const json& value, const std::string& name);

}  // namespace hartonomous::checkpoint_detail
