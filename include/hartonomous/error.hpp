// The exception type of the core: an SQLSTATE, the message, detail and hint that PostgreSQL shows, and the source
// location.
//
// The core does not include postgres.h; src/pg/base/boundary.hpp turns an `error` into an ereport.
// Messages follow PostgreSQL's style: lower case, no full stop; detail and hint are sentences.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace hartonomous {

// The SQLSTATEs that C++ code raises, under PostgreSQL's names (manual, appendix A).
namespace sqlstate {
inline constexpr char feature_not_supported[] = "0A000";
inline constexpr char numeric_value_out_of_range[] = "22003";
inline constexpr char null_value_not_allowed[] = "22004";
inline constexpr char character_not_in_repertoire[] = "22021";
inline constexpr char invalid_parameter_value[] = "22023";
inline constexpr char array_subscript_error[] = "2202E";
inline constexpr char invalid_text_representation[] = "22P02";
inline constexpr char invalid_binary_representation[] = "22P03";
inline constexpr char serialization_failure[] = "40001";
inline constexpr char insufficient_privilege[] = "42501";
inline constexpr char invalid_name[] = "42602";
inline constexpr char undefined_object[] = "42704";
inline constexpr char datatype_mismatch[] = "42804";
inline constexpr char wrong_object_type[] = "42809";
inline constexpr char undefined_table[] = "42P01";
inline constexpr char disk_full[] = "53100";
inline constexpr char out_of_memory[] = "53200";
inline constexpr char program_limit_exceeded[] = "54000";
inline constexpr char object_not_in_prerequisite_state[] = "55000";
inline constexpr char lock_not_available[] = "55P03";
inline constexpr char admin_shutdown[] = "57P01";
inline constexpr char io_error[] = "58030";
inline constexpr char undefined_file[] = "58P01";
inline constexpr char duplicate_file[] = "58P02";
inline constexpr char internal_error[] = "XX000";
inline constexpr char data_corrupted[] = "XX001";
}  // namespace sqlstate

// A line of source, like C++20's std::source_location. As a default argument it is the line of the call; a function
// that throws on behalf of its callers has such a parameter and passes it on to the error.
struct source_location {
  const char* file;
  int line;
  const char* function;

  static constexpr source_location current(const char* file = __builtin_FILE(), int line = __builtin_LINE(),
                                           const char* function = __builtin_FUNCTION()) noexcept {
    return {file, line, function};
  }
};

class error : public std::runtime_error {
 public:
  // `state` must be one of the constants above, because the error keeps the pointer.
  error(const char* state, const std::string& message, std::string detail = {}, std::string hint = {},
        source_location thrown = source_location::current())
      : std::runtime_error(message),
        state_(state),
        detail_(std::move(detail)),
        hint_(std::move(hint)),
        thrown_(thrown) {}
  const char* state() const noexcept { return state_; }
  const std::string& detail() const noexcept { return detail_; }
  const std::string& hint() const noexcept { return hint_; }
  const source_location& thrown() const noexcept { return thrown_; }

 private:
  const char* state_;
  std::string detail_;
  std::string hint_;
  source_location thrown_;
};

}  // namespace hartonomous
