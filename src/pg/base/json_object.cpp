// Reading jsonb arguments (json_object.hpp).
#include "pg/base/json_object.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" {
#include "utils/numeric.h"
}

namespace hartonomous::pg {
namespace {

// A number as text in the current memory context; nullptr if the value is not a number. May ereport.
const char* digits_of(const JsonbValue& value) {
  if (value.type == jbvNumeric) {
    return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
  }
  if (value.type != jbvString) return nullptr;
  const std::string_view given(value.val.string.val, static_cast<std::size_t>(value.val.string.len));
  for (const char* known : {"NaN", "Infinity", "-Infinity", "-0"}) {
    if (given == known) return known;
  }
  return nullptr;
}

// The C library accepts everything that digits_of() returns. Beyond the range of the type it returns infinity or zero,
// which is an error because the argument did not contain it. SQL refuses the same numbers when it reads them.
template <class T>
bool in_range(const char* digits, T value) {
  if (std::isinf(value)) return std::strchr(digits, 'I') != nullptr;
  return value != 0 || errno != ERANGE;
}

bool read_float(const char* digits, float& to) {
  if (digits == nullptr) return false;
  errno = 0;
  to = std::strtof(digits, nullptr);
  return in_range(digits, to);
}

bool read_double(const char* digits, double& to) {
  if (digits == nullptr) return false;
  errno = 0;
  to = std::strtod(digits, nullptr);
  return in_range(digits, to);
}

std::string string_of(const JsonbValue& value) {
  return std::string(value.val.string.val, static_cast<std::size_t>(value.val.string.len));
}

}  // namespace

json_object::json_object(Datum jsonb, std::string what)
    : object_(&call([&] { return DatumGetJsonbP(jsonb); })->root), what_(std::move(what)) {
  if (!JsonContainerIsObject(object_)) throw error(sqlstate::invalid_parameter_value, what_ + " must be an object");
}

void json_object::refuse(const char* member, const std::string& why) const {
  throw error(sqlstate::invalid_parameter_value, what_ + ": \"" + member + "\" " + why);
}

std::optional<JsonbValue> json_object::find(const char* member) {
  known_.push_back(member);
  JsonbValue found;
  const bool there = call([&] {
    return getKeyJsonValueFromContainer(object_, member, static_cast<int>(std::strlen(member)), &found) != nullptr;
  });
  if (!there || found.type == jbvNull) return std::nullopt;
  return found;
}

std::optional<std::string> json_object::text(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  if (found->type != jbvString) refuse(member, "must be a string");
  return string_of(*found);
}

std::optional<bool> json_object::boolean(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  if (found->type != jbvBool) refuse(member, "must be true or false");
  return found->val.boolean;
}

std::optional<std::int32_t> json_object::integer(const char* member, std::int32_t least, std::int32_t most) {
  const std::optional<double> found = number(member);
  if (!found) return std::nullopt;
  if (!(*found >= least && *found <= most) || *found != std::floor(*found)) {
    refuse(member, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return static_cast<std::int32_t>(*found);
}

std::optional<float> json_object::real(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  float value = 0;
  if (!call([&] { return read_float(digits_of(*found), value); }))
    refuse(member, "must be a number within real's range");
  return value;
}

std::optional<double> json_object::number(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  double value = 0;
  if (!call([&] { return read_double(digits_of(*found), value); })) {
    refuse(member, "must be a number within double precision's range");
  }
  return value;
}

std::optional<std::vector<float>> json_object::reals(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  if (found->type != jbvBinary || !JsonContainerIsArray(found->val.binary.data)) {
    refuse(member, "must be an array of numbers");
  }
  std::vector<float> values(JsonContainerSize(found->val.binary.data));
  const bool numbers = call([&] {
    JsonbIterator* at = JsonbIteratorInit(found->val.binary.data);
    JsonbValue element;
    std::size_t n = 0;
    for (JsonbIteratorToken token; (token = JsonbIteratorNext(&at, &element, true)) != WJB_DONE;) {
      if (token != WJB_ELEM) continue;
      const char* digits = digits_of(element);
      if (!read_float(digits, values[n++])) return false;
      if (element.type == jbvNumeric) pfree(const_cast<char*>(digits));
    }
    return true;
  });
  if (!numbers) refuse(member, "must be an array of numbers within real's range");
  if (values.empty()) refuse(member, "must have at least one number");
  return values;
}

std::optional<std::vector<std::pair<std::string, std::string>>> json_object::texts(const char* member) {
  const std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  if (found->type != jbvBinary || !JsonContainerIsObject(found->val.binary.data)) refuse(member, "must be an object");
  std::vector<std::pair<std::string, std::string>> result;
  JsonbIterator* at = call([&] { return JsonbIteratorInit(found->val.binary.data); });
  JsonbValue part;
  for (JsonbIteratorToken token; (token = call([&] { return JsonbIteratorNext(&at, &part, true); })) != WJB_DONE;) {
    if (token == WJB_KEY) result.emplace_back(string_of(part), std::string());
    if (token != WJB_VALUE) continue;
    if (part.type != jbvString) refuse(member, "must be an object of strings");
    result.back().second = string_of(part);
  }
  return result;
}

std::optional<Datum> json_object::value(const char* member) {
  std::optional<JsonbValue> found = find(member);
  if (!found) return std::nullopt;
  return call([&] { return JsonbPGetDatum(JsonbValueToJsonb(&*found)); });
}

void json_object::require_no_others() const {
  JsonbIterator* at = call([&] { return JsonbIteratorInit(object_); });
  JsonbValue part;
  for (JsonbIteratorToken token; (token = call([&] { return JsonbIteratorNext(&at, &part, true); })) != WJB_DONE;) {
    if (token != WJB_KEY) continue;
    const std::string member = string_of(part);
    if (std::none_of(known_.begin(), known_.end(), [&](const char* known) { return member == known; })) {
      throw error(sqlstate::invalid_parameter_value, what_ + " has the unknown member \"" + member + "\"");
    }
  }
}

}  // namespace hartonomous::pg
