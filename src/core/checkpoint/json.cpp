// Parsing and looking up JSON (json.hpp).
#include "checkpoint/json.hpp"

#include <cmath>
#include <cstdint>

#include "hartonomous/error.hpp"

namespace hartonomous::checkpoint_detail {

json parse_json(std::string_view text, const char* what, interrupt_checker& interrupts) {
  constexpr int deepest = 64;
  std::uint32_t events = 0;
  const auto watch = [&](int depth, json::parse_event_t, json&) {
    if (depth > deepest) throw error(sqlstate::program_limit_exceeded, std::string(what) + " is nested too deeply");
    if (++events % 4096 == 0) interrupts.check();
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), watch);
  } catch (const json::exception& e) {
    throw error(sqlstate::invalid_text_representation, std::string(what) + " is not valid JSON", e.what());
  }
}

void refuse(const std::string& what, const std::string& detail, source_location thrown) {
  throw error(sqlstate::invalid_parameter_value, what, detail, {}, thrown);
}

void not_supported(const std::string& what, const std::string& detail, source_location thrown) {
  throw error(sqlstate::feature_not_supported, what, detail, {}, thrown);
}

std::uint32_t natural_of(const json& value, const std::string& name) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > INT32_MAX) {
    refuse(name + " is not a number between 0 and 2147483647");
  }
  return value.get<std::uint32_t>();
}

std::string_view text_of(const json& value, const std::string& name) {
  if (!value.is_string()) refuse(name + " is not a string");
  return value.get_ref<const std::string&>();
}

members::members(const json& value, std::string path) : value_(value), path_(std::move(path)) {
  if (!value.is_object()) refuse(path_.substr(0, path_.find_last_not_of(":. ") + 1) + " is not an object");
}

const json* members::find(const char* key) const {
  const auto at = value_.find(key);
  return at == value_.end() || at->is_null() ? nullptr : &*at;
}

const json& members::at(const char* key) const {
  const json* value = find(key);
  if (value == nullptr) refuse(name(key) + " is missing");
  return *value;
}

std::optional<std::string> members::text(const char* key) const {
  const json* value = find(key);
  return value == nullptr ? std::nullopt : std::optional<std::string>(text_of(*value, name(key)));
}

std::optional<double> members::number(const char* key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) refuse(name(key) + " is not a number");
  return value->get<double>();
}

std::optional<std::uint32_t> members::natural(const char* key) const {
  const json* value = find(key);
  return value == nullptr ? std::nullopt : std::optional<std::uint32_t>(natural_of(*value, name(key)));
}

std::optional<bool> members::flag(const char* key) const {
  const json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) refuse(name(key) + " is neither true nor false");
  return value->get<bool>();
}

std::uint32_t members::positive(const char* key) const {
  std::uint32_t const value = natural_of(at(key), name(key));
  if (value == 0) refuse(name(key) + " is 0");
  return value;
}

}  // namespace hartonomous::checkpoint_detail
