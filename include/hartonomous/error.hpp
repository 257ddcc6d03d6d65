// The core's own error type: an SQLSTATE and the three texts PostgreSQL shows.
//
// The core never sees postgres.h; src/pg/boundary.hpp turns an `error` into an ereport.
// Message style is PostgreSQL's: lower case, no full stop; detail and hint are sentences.
#pragma once

#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

namespace hartonomous {

// SQLSTATEs the core raises (PostgreSQL manual, appendix A).
namespace sqlstate {
inline constexpr char feature_not_supported[] = "0A000";
inline constexpr char numeric_value_out_of_range[] = "22003";
inline constexpr char invalid_parameter_value[] = "22023";
inline constexpr char array_subscript_error[] = "2202E";
inline constexpr char invalid_binary_representation[] = "22P03";
inline constexpr char invalid_text_representation[] = "22P02";
inline constexpr char undefined_object[] = "42704";
inline constexpr char object_not_in_prerequisite_state[] = "55000";
inline constexpr char out_of_memory[] = "53200";
inline constexpr char program_limit_exceeded[] = "54000";
inline constexpr char io_error[] = "58030";
inline constexpr char internal_error[] = "XX000";
}  // namespace sqlstate

class error : public std::runtime_error {
 public:
  // `state` must be one of the literals above (it is kept by pointer).
  error(const char* state, const std::string& message, std::string detail = {}, std::string hint = {})
      : std::runtime_error(message), state_(state), detail_(std::move(detail)), hint_(std::move(hint)) {}
  const char* state() const noexcept { return state_; }
  const std::string& detail() const noexcept { return detail_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  const char* state_;
  std::string detail_;
  std::string hint_;
};

}  // namespace hartonomous
