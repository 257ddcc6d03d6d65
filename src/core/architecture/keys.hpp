// Reads hyperparameters from the keys of a GGUF file that begin with its architecture's name.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

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
  // An array of one flag for each block.
  std::optional<std::vector<bool>> flags(const std::string& key, std::uint32_t blocks) const;
  std::optional<bool> flag(const std::string& key) const { return metadata_.get_bool(name_of(key)); }
  std::optional<double> real(const std::string& key) const;  // finite
  double required_real(const std::string& key) const;
  std::optional<std::string> text(const std::string& key) const { return metadata_.get_string(name_of(key)); }

  // A key that the architecture has but does not use.
  void ignore(const std::string& key) const { name_of(key); }
  bool was_read(const std::string& key) const { return read_.count(key) > 0; }
  // Error 0A000 if there is a key that changes what a model computes, and that has not been read.
  void check_others() const;
  // Error 0A000: the value of this key is not supported.
  [[noreturn]] void refuse(const std::string& key, source_location thrown = source_location::current()) const {
    not_supported("the value of key \"" + prefix_ + key + "\" is not supported", thrown);
  }

 private:
  std::uint64_t common(const std::string& name) const;
  // The whole key, which from now on counts as read.
  std::string name_of(const std::string& key) const;
  bool changes_nothing(const gguf_kv& kv) const;

  const gguf_metadata& metadata_;
  std::string prefix_;
  mutable std::set<std::string> read_;
};

}  // namespace hartonomous::architecture_detail
