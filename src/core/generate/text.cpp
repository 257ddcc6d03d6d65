// Bytes of tokens as valid text (hartonomous/generate.hpp).
#include "bytes/text.hpp"
#include "hartonomous/generate.hpp"

#include <algorithm>

namespace hartonomous {
namespace {

constexpr char replacement[] = "\xEF\xBF\xBD";  // U+FFFD

bool is_continuation(char c) noexcept { return (static_cast<unsigned char>(c) & 0xC0) == 0x80; }

// Whether the bytes from `i` on may be the beginning of a character whose remaining bytes have not arrived yet.
bool is_unfinished(std::string_view text, std::size_t i) noexcept {
  const auto lead = static_cast<unsigned char>(text[i]);
  const std::size_t length = lead >= 0xF0 && lead <= 0xF4 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() - i >= length) return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(i) + 1, text.end(), is_continuation);
}

}  // namespace

std::string utf8_stream_decoder::add(std::string_view bytes) {
  waiting_ += bytes;
  std::string text;
  std::size_t i = 0;
  while (i < waiting_.size()) {
    const std::size_t length = waiting_[i] == '\0' ? 0 : utf8_length(waiting_, i);
    if (length == 0 && is_unfinished(waiting_, i)) break;
    if (length == 0) {
      text += replacement;
    } else {
      text.append(waiting_, i, length);
    }
    i += std::max<std::size_t>(1, length);
  }
  waiting_.erase(0, i);
  return text;
}

}  // namespace hartonomous
