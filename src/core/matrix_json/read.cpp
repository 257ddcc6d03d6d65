// Reads a matrix with a SAX handler that accepts numbers in one or two levels of arrays.
#include <algorithm>
#include <cfloat>
#include <cmath>

#include "hartonomous/error.hpp"
#include "hartonomous/matrix_json.hpp"

#include <nlohmann/json.hpp>

namespace hartonomous {
namespace {

[[noreturn]] void refuse(const char* state, const std::string& detail,
                         source_location thrown = source_location::current()) {
  throw error(state, "invalid JSON matrix", detail,
              "A matrix is an array of numbers, or an array of rows that are arrays of numbers.", thrown);
}

class matrix_handler : public nlohmann::json_sax<nlohmann::json> {
 public:
  matrix_handler(json_matrix& out, std::size_t limit, interrupt_checker& interrupts)
      : out_(out), limit_(limit), interrupts_(interrupts) {}

  bool number_integer(number_integer_t value) override { return add(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override { return add(static_cast<double>(value)); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool null() override { return other("null"); }
  bool boolean(bool) override { return other("a boolean"); }
  bool string(string_t&) override { return other("a string"); }
  bool binary(binary_t&) override { return other("binary data"); }
  bool start_object(std::size_t) override { return other("an object"); }
  bool key(string_t&) override { return other("an object"); }
  bool end_object() override { return other("an object"); }

  bool start_array(std::size_t) override {
    if (depth_ == 2) other("an array");
    if (depth_ == 1) {
      if (!out_.nested && !out_.values.empty()) other("an array");
      out_.nested = true;
      row_start_ = out_.values.size();
    }
    ++depth_;
    return true;
  }

  bool end_array() override {
    if (--depth_ == 0) {
      if (!out_.nested) end_row(out_.values.size());
    } else {
      end_row(out_.values.size() - row_start_);
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception& e) override {
    constexpr int number_overflow = 406;
    if (e.id == number_overflow) out_of_range();
    refuse(sqlstate::invalid_text_representation, "It is not JSON from byte " + std::to_string(position) + " on.");
  }

 private:
  std::string place() const { return "position " + std::to_string(out_.values.size() + 1); }

  bool other(const char* what) {
    refuse(sqlstate::invalid_text_representation, "There is " + std::string(what) + " at " + place() + ".");
  }

  [[noreturn]] void out_of_range() const {
    throw error(sqlstate::numeric_value_out_of_range, "number at " + place() + " is out of range for type real");
  }

  bool add(double value) {
    if (depth_ == 0 || (out_.nested && depth_ == 1)) other("a number outside a row");
    const auto number = static_cast<float>(value);
    if (!(std::fabs(number) <= FLT_MAX)) out_of_range();
    if (out_.values.size() == limit_) {
      throw error(sqlstate::program_limit_exceeded, "JSON matrix has more than " + std::to_string(limit_) + " numbers");
    }
    constexpr std::size_t check_interval = 1 << 14;
    if (out_.values.size() % check_interval == 0) interrupts_.check();
    out_.values.push_back(number);
    return true;
  }

  void end_row(std::size_t length) {
    if (out_.rows > 0 && length != out_.columns) {
      refuse(sqlstate::invalid_parameter_value, "Row " + std::to_string(out_.rows + 1) + " has " +
                                                    std::to_string(length) + " numbers, the rows before it " +
                                                    std::to_string(out_.columns) + ".");
    }
    out_.columns = length;
    ++out_.rows;
  }

  json_matrix& out_;
  std::size_t limit_;
  interrupt_checker& interrupts_;
  int depth_ = 0;
  std::size_t row_start_ = 0;
};

}  // namespace

json_matrix parse_json_matrix(std::string_view json, std::size_t limit, std::size_t expected,
                              interrupt_checker& interrupts) {
  json_matrix matrix;
  matrix.values.reserve(std::min({limit, expected, json.size() / 2 + 1}));
  matrix_handler handler(matrix, limit, interrupts);
  nlohmann::json::sax_parse(json.data(), json.data() + json.size(), &handler);
  return matrix;
}

}  // namespace hartonomous
