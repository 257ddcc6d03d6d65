// The members of a jsonb object that is an argument: each is read as what it is to be, or refused by its name.
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

// Errors are 22023 and name the member. A member that is null counts as one that is not there. Numbers go from their
// digits straight to what is asked for, so that a real that was written in full comes back bit by bit; what JSON has no
// number for stands as a string: "NaN", "Infinity", "-Infinity", "-0".
class json_object {
 public:
  // `what` begins the errors: what the object is of. Error 22023 when the value is no object.
  json_object(Datum jsonb, std::string what);

  std::optional<std::string> text(const char* member);
  std::optional<bool> boolean(const char* member);
  std::optional<std::int32_t> integer(const char* member, std::int32_t least, std::int32_t most);
  std::optional<float> real(const char* member);
  std::optional<double> number(const char* member);
  // An array of at least one number.
  std::optional<std::vector<float>> reals(const char* member);
  // An object whose members are all strings: their names and values.
  std::optional<std::vector<std::pair<std::string, std::string>>> texts(const char* member);
  // The member itself, as a jsonb value of its own.
  std::optional<Datum> value(const char* member);

  // Error when the object has a member that was not asked for.
  void require_no_others() const;
  [[noreturn]] void refuse(const char* member, const std::string& why) const;

 private:
  std::optional<JsonbValue> find(const char* member);

  JsonbContainer* object_;
  std::string what_;
  std::vector<const char*> known_;
};

}  // namespace hartonomous::pg
