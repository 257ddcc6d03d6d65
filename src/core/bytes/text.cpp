// Text found in files: UTF-8 checks, display in messages, JSON and hexadecimal (text.hpp).
#include "bytes/text.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bytes/hex.hpp"

namespace hartonomous {

namespace {

constexpr char hex_digits[] = "0123456789abcdef";

unsigned byte_at(std::string_view text, std::size_t i) noexcept { return static_cast<unsigned char>(text[i]); }

}  // namespace

std::size_t utf8_length(std::string_view text, std::size_t i) noexcept {
  const unsigned lead = byte_at(text, i);
  if (lead < 0x80) return 1;
  std::size_t const length = lead >= 0xc2 && lead <= 0xdf   ? 2
                             : (lead & 0xf0) == 0xe0        ? 3
                             : lead >= 0xf0 && lead <= 0xf4 ? 4
                                                            : 0;
  if (length == 0 || text.size() - i < length) return 0;
  const unsigned second = byte_at(text, i + 1);
  const unsigned low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (std::size_t k = 2; k < length; ++k) {
    if ((byte_at(text, i + k) & 0xc0) != 0x80) return 0;
  }
  return length;
}

bool is_utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    // Eight ASCII characters at a time.
    std::uint64_t word = 0;
    while (text.size() - i >= sizeof word) {
      std::memcpy(&word, text.data() + i, sizeof word);
      if ((word & 0x8080808080808080U) != 0) break;
      i += sizeof word;
    }
    if (i == text.size()) break;
    std::size_t const length = utf8_length(text, i);
    if (length == 0) return false;
    i += length;
  }
  return true;
}

bool is_pg_text(std::string_view text) noexcept { return text.find('\0') == std::string_view::npos && is_utf8(text); }

std::string to_pg_text(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size();) {
    std::size_t const length = bytes[i] == '\0' ? 0 : utf8_length(bytes, i);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else {
      out += bytes.substr(i, length);
    }
    i += length == 0 ? 1 : length;
  }
  return out;
}

std::string show_name(std::string_view name) {
  constexpr std::size_t limit = 64;
  std::string out = "\"";
  std::size_t i = 0;
  while (i < name.size() && i < limit) {
    std::size_t const length = utf8_length(name, i);
    const unsigned lead = byte_at(name, i);
    if (length == 0 || lead < 0x20 || lead == 0x7f) {
      out += {'\\', 'x', hex_digits[lead >> 4], hex_digits[lead & 15]};
      i += 1;
    } else {
      out += name.substr(i, length);
      i += length;
    }
  }
  if (i < name.size()) out += "...";
  return out + '"';
}

void append_json_string(std::string& out, std::string_view utf8) {
  out += '"';
  for (const char c : utf8) {
    const unsigned byte = static_cast<unsigned char>(c);
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\b':
        out += "\\b";
        break;
      case '\f':
        out += "\\f";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        if (byte < 0x20) {
          out += {'\\', 'u', '0', '0', hex_digits[byte >> 4], hex_digits[byte & 15]};
        } else {
          out += c;
        }
    }
  }
  out += '"';
}

void append_hex(std::string& out, std::string_view bytes) {
  std::size_t const before = out.size();
  out.resize(before + 2 * bytes.size());
  encode_hex(reinterpret_cast<const std::byte*>(bytes.data()), bytes.size(), out.data() + before);
}

bool decode_hex(std::string_view hex, std::string& bytes) {
  if (hex.size() % 2 != 0) return false;
  bytes.resize(hex.size() / 2);
  return decode_hex(hex.data(), bytes.size(), reinterpret_cast<std::byte*>(bytes.data()));
}

}  // namespace hartonomous
