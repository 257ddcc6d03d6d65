// A JSON scalar as the parser reports it, and its conversion to the bytes of a GGUF value.
#pragma once

#include <cstdint>
#include <string_view>

#include "hartonomous/gguf.hpp"

namespace hartonomous::gguf_detail {

struct json_value {
  enum class kind { boolean, negative, natural, decimal, text, bytes };

  kind what;
  bool truth = false;
  std::int64_t negative = 0;  // if below zero
  std::uint64_t natural = 0;
  std::string_view text;  // decimal: its spelling; text: UTF-8; bytes: the decoded {"hex":…}

  static json_value of(bool value) noexcept { return {kind::boolean, value, 0, 0, {}}; }
  static json_value of(std::int64_t value) noexcept {
    // The parser reports "-0" as an integer that is not negative.
    if (value >= 0) return of(static_cast<std::uint64_t>(value));
    return {kind::negative, false, value, 0, {}};
  }
  static json_value of(std::uint64_t value) noexcept { return {kind::natural, false, 0, value, {}}; }
  static json_value of_decimal(std::string_view text) noexcept { return {kind::decimal, false, 0, 0, text}; }
  static json_value of_text(std::string_view text) noexcept { return {kind::text, false, 0, 0, text}; }
  static json_value of_bytes(std::string_view bytes) noexcept { return {kind::bytes, false, 0, 0, bytes}; }
};

// Appends the value to kv.payload as kv.element and counts it; error 22P02 if it is not such a value.
void append_element(gguf_kv& kv, const json_value& value);

}  // namespace hartonomous::gguf_detail
