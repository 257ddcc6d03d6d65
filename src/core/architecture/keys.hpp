// Reads hyperparameters from the keys of a GGUF file that begin with its architecture's name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "hartonomous/error.hpp"
#include "hartonomous/gguf.hpp"

namespace hartonomous::architecture_detail {

// Errors 0A000 and 55000.
[[noreturn]] void not_supported(const std::string& message, source_location thrown = source_location::current());
[[noreturn]] void broken(const std::string& message, source_location thrown = source_location::current());

class keys {
 public:
  keys(const gguf_metadata& metadata, const std::string& architecture)
      : metadata_(metadata), prefix_(architecture + ".") {}

  // The value of a number, or of an array of one number per block whose elements are all equal.
  std::optional<std::uint32_t> number(const std::string& key) const;
  // A number above 0. The key must exist unless there is a default, `otherwise`.
  std::uint32_t positive(const std::string& key, std::optional<std::uint32_t> otherwise = std::nullopt) const;
  std::optional<double> real(const std::string& key) const;  // finite
  double required_real(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const { return metadata_.get_string(prefix_ + key); }

 private:
  std::uint64_t common(const std::string& name) const;

  const gguf_metadata& metadata_;
  std::string prefix_;
};

}  // namespace hartonomous::architecture_detail
