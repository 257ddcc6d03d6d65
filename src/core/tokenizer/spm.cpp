// SentencePiece's tokenizer (spm.hpp).
#include "tokenizer/spm.hpp"

#include <algorithm>
#include <cstdint>

#include "bytes/hex.hpp"
#include "bytes/text.hpp"
#include "hartonomous/error.hpp"

namespace hartonomous::tokenizer_detail {

namespace {

constexpr std::string_view visible_space = "\xe2\x96\x81";  // U+2581, which stands for a space in tokens

// Length of the character that begins at `i`, counting only bytes that can continue it. A byte that begins no character
// has length 1.
std::size_t character_at(std::string_view text, std::size_t i) noexcept {
  const auto lead = static_cast<unsigned char>(text[i]);
  std::size_t const wanted = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  std::size_t length = 1;
  while (length < wanted && i + length < text.size() && (static_cast<unsigned char>(text[i + length]) & 0xc0) == 0x80) {
    ++length;
  }
  return length;
}

// Two pairs may have the same key: that only makes parts of the text longer.
std::uint64_t pair_key(std::string_view left, std::string_view right) noexcept {
  std::uint64_t key = 0;
  for (std::string_view const c : {left, right}) {
    for (std::size_t i = 0; i < 4; ++i) key = key << 8 | (i < c.size() ? static_cast<unsigned char>(c[i]) : 0U);
  }
  return key == ~std::uint64_t{0} ? 0 : key;
}

// Calls visit(left, right) for each two adjacent characters of the text.
template <class Visit>
void each_pair(std::string_view text, Visit visit) {
  if (text.empty()) return;
  std::size_t length = character_at(text, 0);
  for (std::size_t i = 0; i + length < text.size();) {
    std::size_t const next = i + length;
    std::size_t const next_length = character_at(text, next);
    visit(text.substr(i, length), text.substr(next, next_length));
    i = next;
    length = next_length;
  }
}

}  // namespace

spm_encoder::spm_encoder(const vocabulary& words, interrupt_checker& interrupts) : words_(words) {
  constexpr char digits[] = "0123456789ABCDEF";
  for (unsigned b = 0; b < 256; ++b) {
    const char named[] = {'<', '0', 'x', digits[b >> 4], digits[b & 15], '>'};
    const char itself = static_cast<char>(b);
    std::int32_t const token = words.tokens.find({named, sizeof named});
    byte_tokens_[b] = token >= 0 ? token : words.tokens.find({&itself, 1});
  }
  work_meter work(interrupts);
  for (std::size_t i = 0; i < words.tokens.size(); ++i) {
    each_pair(words.tokens[i], [&](std::string_view left, std::string_view right) {
      adjacent_.insert(pair_key(left, right), true);
      work.step();
    });
  }
}

void spm_encoder::add_characters(std::string_view text, merger& symbols) const {
  symbols.clear();
  for (std::size_t i = 0; i < text.size();) {
    std::size_t const length = character_at(text, i);
    symbols.add(static_cast<std::uint32_t>(i), static_cast<std::uint32_t>(length),
                words_.tokens.find(text.substr(i, length)));
    i += length;
  }
}

bool spm_encoder::find_pair(std::string_view text, const symbol& left, candidate& found) const {
  if (found.length > words_.tokens.longest()) return false;
  found.id = words_.tokens.find(text.substr(left.begin, found.length));
  if (found.id < 0) return false;
  found.order = -words_.scores[static_cast<std::size_t>(found.id)];
  return true;
}

void spm_encoder::each_part(std::string_view token, work_meter& work,
                            const std::function<void(std::int32_t)>& visit) const {
  merger symbols(work);
  add_characters(token, symbols);
  symbols.merge([&](const symbol& left, const symbol&, candidate& found) { return find_pair(token, left, found); },
                [&](const symbol& made) { visit(made.id); });
}

void spm_encoder::encode_stretch(std::string_view text, merger& symbols, std::vector<std::int32_t>& out) const {
  add_characters(text, symbols);
  symbols.merge([&](const symbol& left, const symbol&, candidate& found) { return find_pair(text, left, found); });
  symbols.each([&](const symbol& s) {
    if (s.id >= 0) {
      out.push_back(s.id);
      return;
    }
    for (std::size_t i = 0; i < s.length; ++i) {
      auto const byte = static_cast<unsigned char>(text[s.begin + i]);
      out.push_back(byte_tokens_[byte] >= 0 ? byte_tokens_[byte] : words_.unknown_for(byte));
    }
  });
}

void spm_encoder::encode(std::string_view text, bool spaced, std::vector<std::int32_t>& out, work_meter& work) const {
  std::string spelled;
  spelled.reserve(text.size() + text.size() / 2 + visible_space.size());
  if (spaced) spelled += visible_space;
  for (const char c : text) {
    work.step();
    if (c == ' ') {
      spelled += visible_space;
    } else {
      spelled += c;
    }
  }
  std::string_view const rest = spelled;
  merger symbols(work);
  std::size_t begin = 0;
  each_pair(rest, [&](std::string_view left, std::string_view right) {
    work.step();
    if (adjacent_.find(pair_key(left, right)) != nullptr) return;
    auto const end = static_cast<std::size_t>(right.data() - rest.data());
    encode_stretch(rest.substr(begin, end - begin), symbols, out);
    begin = end;
  });
  if (begin < rest.size()) encode_stretch(rest.substr(begin), symbols, out);
}

std::vector<std::int32_t> spm_encoder::basic_tokens() const {
  std::vector<std::int32_t> tokens(byte_tokens_.begin(), byte_tokens_.end());
  tokens.push_back(words_.tokens.find(visible_space));
  if (std::find(byte_tokens_.begin(), byte_tokens_.end(), -1) == byte_tokens_.end()) return tokens;
  for (std::size_t i = 0; i < words_.tokens.size(); ++i) {
    const std::string_view text = words_.tokens[i];
    if (!text.empty() && character_at(text, 0) == text.size()) tokens.push_back(static_cast<std::int32_t>(i));
  }
  return tokens;
}

void spm_encoder::append_text(std::string& out, std::string_view token) {
  for (std::size_t i = 0; i < token.size();) {
    std::size_t const at = std::min(token.find(visible_space, i), token.size());
    out += token.substr(i, at - i);
    if (at < token.size()) out += ' ';
    i = at + visible_space.size();
  }
}

int spm_encoder::byte_of(std::string_view token) noexcept {
  std::string byte;
  const bool named = token.size() == 6 && token.substr(0, 3) == "<0x" && token[5] == '>';
  return named && decode_hex(token.substr(3, 2), byte) ? static_cast<unsigned char>(byte[0]) : -1;
}

}  // namespace hartonomous::tokenizer_detail
