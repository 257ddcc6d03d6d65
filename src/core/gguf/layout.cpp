// Sizes of GGUF tensors, shared by the reader and the writer.
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "bytes/text.hpp"
#include "gguf/internal.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous {

namespace {

constexpr std::string_view unknown_prefix = "GGML_";

}  // namespace

bool is_unknown_type(format type) noexcept { return find_format(static_cast<std::uint32_t>(type)) == nullptr; }

std::string name_of_unknown_type(format type) {
  return std::string(unknown_prefix) + std::to_string(static_cast<std::uint32_t>(type));
}

std::optional<format> unknown_type_named(std::string_view name) {
  if (name.substr(0, unknown_prefix.size()) != unknown_prefix) return std::nullopt;
  const std::string_view digits = name.substr(unknown_prefix.size());
  std::uint32_t number = 0;
  const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (failed != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const auto type = static_cast<format>(number);
  if (!is_unknown_type(type) || number > gguf_largest_type) return std::nullopt;
  return type;
}

}  // namespace hartonomous

namespace hartonomous::gguf_detail {

namespace {

std::string shown(const std::vector<std::uint64_t>& dims) {
  std::string out;
  for (std::uint64_t const dim : dims) out += (out.empty() ? "" : " x ") + std::to_string(dim);
  return out;
}

// The product in 63 bits; false if it overflows.
bool multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& product) noexcept {
  return !__builtin_mul_overflow(a, b, &product) && product <= max_offset;
}

}  // namespace

std::uint64_t tensor_info_bytes(const gguf_tensor& tensor) noexcept {
  return 8 + tensor.name.size() + 4 + 8 * tensor.dims.size() + 4 + 8;
}

void measure_tensor(gguf_tensor& tensor, const char* state) {
  if (tensor.name.size() > gguf_max_tensor_name_length) {
    throw error(state, "GGUF: tensor name " + show_name(tensor.name) + " is too long",
                "It has " + std::to_string(tensor.name.size()) + " bytes; the limit is " +
                    std::to_string(gguf_max_tensor_name_length) + ".");
  }
  std::string const who = "GGUF: tensor " + show_name(tensor.name);
  if (!is_pg_text(tensor.name)) throw error(state, who + " has a name that is not valid UTF-8 text");
  if (tensor.dims.size() > 4) {
    throw error(state, who + " has an invalid number of dimensions",
                "It has " + std::to_string(tensor.dims.size()) + "; up to 4 are allowed.");
  }
  // Zero dimensions are left out of this product, because a zero would hide that the others are too large.
  std::uint64_t product = 1;
  bool empty = false;
  for (std::uint64_t const dim : tensor.dims) {
    empty = empty || dim == 0;
    if (!multiply(product, std::max<std::uint64_t>(dim, 1), product)) {
      throw error(state, who + " is too large", "Its shape is " + shown(tensor.dims) + ".");
    }
  }
  tensor.weights = empty ? 0 : product;
  const format_traits* found = find_format(static_cast<std::uint32_t>(tensor.type));
  if (found == nullptr) return;
  const format_traits& traits = *found;
  std::uint64_t const row = tensor.dims.empty() ? 1 : tensor.dims[0];  // without dimensions: a single number
  if (row % traits.block_weights != 0) {
    throw error(state, who + " has rows that are not whole blocks",
                "Its rows have " + std::to_string(row) + " weights; a block of " + traits.name + " has " +
                    std::to_string(traits.block_weights) + ".");
  }
  if (!multiply(tensor.weights / traits.block_weights, traits.block_bytes, tensor.bytes)) {
    throw error(state, who + " is too large", "Its shape is " + shown(tensor.dims) + ".");
  }
}

void check_tensor_names(const std::vector<gguf_tensor>& tensors, const char* state) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const gguf_tensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twin = std::adjacent_find(names.begin(), names.end());
  if (twin != names.end()) throw error(state, "GGUF: duplicate tensor name " + show_name(*twin));
}

}  // namespace hartonomous::gguf_detail
