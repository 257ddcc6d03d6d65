// libFuzzer: any bytes as the text and as the binary form of `weights`. What is accepted must come back when it is
// written and read again.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/weights.hpp"

namespace {

using namespace hartonomous;

constexpr std::size_t most_digits = std::size_t{1} << 14;

void require(bool condition) {
  if (!condition) std::abort();
}

struct weights {
  format id;
  std::uint64_t count;
  std::vector<std::byte> blocks;

  bool operator==(const weights& other) const {
    return id == other.id && count == other.count && blocks == other.blocks;
  }
};

weights read_text(std::string_view text) {
  const weights_text parsed = parse_weights_text(text);
  require(parsed.digits.size() == 2 * bytes_of(parsed.id, parsed.count));
  weights read = {parsed.id, parsed.count, std::vector<std::byte>(parsed.digits.size() / 2)};
  no_interrupts none;
  decode_blocks(parsed.digits, read.blocks.data(), none);
  return read;
}

std::string written_text(const weights& from) {
  std::string text = weights_text_head(from.id, static_cast<std::uint32_t>(from.count));
  const std::size_t head = text.size();
  text.resize(head + 2 * from.blocks.size());
  no_interrupts none;
  encode_blocks(from.blocks, text.data() + head, none);
  return text;
}

weights read_message(span<const std::byte> message) {
  const weights_message parsed = parse_weights_message(message);
  require(parsed.blocks.size() == bytes_of(parsed.id, parsed.count));
  return {parsed.id, parsed.count, std::vector<std::byte>(parsed.blocks.begin(), parsed.blocks.end())};
}

std::vector<std::byte> written_message(const weights& from) {
  const auto head = weights_message_head(from.id, static_cast<std::uint32_t>(from.count));
  std::vector<std::byte> message(head.begin(), head.end());
  message.insert(message.end(), from.blocks.begin(), from.blocks.end());
  return message;
}

void check_written(const weights& read) {
  if (read.count > UINT32_MAX) return;  // no value holds so many
  try {
    const std::string text = written_text(read);
    require(read_text(text) == read && written_text(read_text(text)) == text);
    require(read_message(written_message(read)) == read);
  } catch (const error&) {
    std::abort();  // what was read must be writable
  }
}

void check_text(std::string_view text) {
  weights read = {};
  try {
    read = read_text(text);
  } catch (const error&) {
    return;
  }
  check_written(read);
}

void check_message(span<const std::byte> message) {
  weights read = {};
  try {
    read = read_message(message);
  } catch (const error&) {
    return;
  }
  check_written(read);
  require(written_message(read) == std::vector<std::byte>(message.begin(), message.end()));
}

// The same head with as many digits as it asks for, those it has over and over again: else mutations seldom get past
// the length.
std::string with_all_digits(std::string_view text) {
  const std::size_t close = text.find("]:");
  if (close == std::string_view::npos || close + 2 == text.size()) return {};
  const std::size_t open = text.find('[');
  const format_traits* traits = open < close ? find_format(text.data(), open) : nullptr;
  if (traits == nullptr || close - open > 6) return {};
  const auto count = std::strtoull(std::string(text.substr(open + 1, close - open - 1)).c_str(), nullptr, 10);
  const std::string_view digits = text.substr(close + 2);
  if (count > most_digits || 2 * bytes_of(traits->id, count) > most_digits) return {};
  std::string whole(text.substr(0, close + 2));
  for (std::size_t i = 0; i < 2 * bytes_of(traits->id, count); ++i) whole += digits[i % digits.size()];
  return whole;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_text(text);
  check_text(with_all_digits(text));
  check_message({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
