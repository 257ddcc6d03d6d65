// The text form of `weights` (hartonomous/weights.hpp).
#include <algorithm>
#include <cstdint>

#include "bytes/hex.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/weights.hpp"

namespace hartonomous {
namespace {

[[noreturn]] void refuse(const char* detail, source_location thrown = source_location::current()) {
  throw error(sqlstate::invalid_text_representation, "invalid input syntax for type weights", detail,
              "The text form is FORMAT[count]:hexadecimal blocks, for example F32[1]:0000803f.", thrown);
}

// Parses the count in FORMAT[count]: only decimal digits, and at most the largest count of a value.
std::uint64_t parse_count(std::string_view digits) {
  if (digits.empty() || digits.size() > 10) refuse("The count is not a number a value can hold.");
  std::uint64_t count = 0;
  for (const char c : digits) {
    if (c < '0' || c > '9') refuse("The count is not a number.");
    count = count * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return count;
}

// Processes many bytes in chunks of a fraction of a millisecond.
template <class Use>
void for_pieces(std::size_t size, interrupt_checker& interrupts, Use use) {
  constexpr std::size_t chunk = std::size_t{1} << 20;
  for (std::size_t from = 0; from < size; from += chunk) {
    interrupts.check();
    use(from, std::min(chunk, size - from));
  }
}

}  // namespace

weights_text parse_weights_text(std::string_view text) {
  const std::size_t open = text.find('[');
  const std::size_t close = text.find("]:");
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) refuse("");
  const format_traits* traits = find_format(text.data(), open);
  if (traits == nullptr) refuse("The format is not one of ggml's.");
  const std::uint64_t count = parse_count(text.substr(open + 1, close - open - 1));
  const std::string_view digits = text.substr(close + 2);
  if (digits.size() % 2 != 0 || digits.size() / 2 != bytes_of(traits->id, count)) {
    refuse("The number of hexadecimal digits does not fit the format and the count.");
  }
  return {traits->id, count, digits};
}

void decode_blocks(std::string_view digits, std::byte* to, interrupt_checker& interrupts) {
  for_pieces(digits.size() / 2, interrupts, [&](std::size_t from, std::size_t count) {
    if (!decode_hex(digits.data() + 2 * from, count, to + from)) {
      refuse("The blocks hold a character that is not a hexadecimal digit.");
    }
  });
}

std::string weights_text_head(format f, std::uint32_t count) {
  return std::string(traits_of(f).name) + '[' + std::to_string(count) + "]:";
}

void encode_blocks(span<const std::byte> blocks, char* to, interrupt_checker& interrupts) {
  for_pieces(blocks.size(), interrupts,
             [&](std::size_t from, std::size_t count) { encode_hex(blocks.data() + from, count, to + 2 * from); });
}

}  // namespace hartonomous
