// The members of a jsonb object that is an argument. Each is read as the expected type or refused by name.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

extern "C" {
#include "utils/jsonb.h"
}

namespace hartonomous::pg {

// Errors are 22023 and name the member. A member that is null is treated as absent. Numbers are converted from their
// digits directly to the requested type, so that a real printed in full is read back bit for bit. Values that JSON
// numbers cannot represent are strings: "NaN", "Infinity", "-Infinity", "-0".
class json_object {
 public:
  // `what` begins the error messages: what the object describes. Raises 22023 if the value is not an object.
  json_object(Datum jsonb, std::string what);

  std::optional<std::string> text(const char* member);
  std::optional<bool> boolean(const char* member);
  std::optional<std::int32_t> integer(const char* member, std::int32_t least, std::int32_t most);
  std::optional<float> real(const char* member);
  std::optional<double> number(const char* member);
  // An array of one or more numbers.
  std::optional<std::vector<float>> reals(const char* member);
  // An object whose members are all strings, as names and values.
  std::optional<std::vector<std::pair<std::string, std::string>>> texts(const char* member);
  // The member itself as a jsonb value.
  std::optional<Datum> value(const char* member);

  // Raises an error if the object has a member that was not requested.
  void require_no_others() const;
  [[noreturn]] void refuse(const char* member, const std::string& why) const;

 private:
  std::optional<JsonbValue> find(const char* member);

  JsonbContainer* object_;
  std::string what_;
  std::vector<const char*> known_;
};

}  // namespace hartonomous::pg
