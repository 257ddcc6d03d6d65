// Numbered texts (hash_table.hpp).
#include "tokenizer/hash_table.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>

namespace hartonomous::tokenizer_detail {

std::size_t text_index::slot_of(std::string_view text) const noexcept {
  std::size_t const mask = slots_.size() - 1;
  std::size_t slot = std::hash<std::string_view>()(text) & mask;
  while (slots_[slot] >= 0 && (*this)[static_cast<std::size_t>(slots_[slot])] != text) slot = (slot + 1) & mask;
  return slot;
}

void text_index::grow() {
  std::size_t count = 16;
  while (count < 4 * size()) count *= 2;
  slots_.assign(count, -1);
  for (std::size_t i = 0; i < size(); ++i) slots_[slot_of((*this)[i])] = static_cast<std::int32_t>(i);
}

std::int32_t text_index::add(std::string_view text) {
  if (2 * (size() + 1) > slots_.size()) grow();
  std::size_t const slot = slot_of(text);
  if (slots_[slot] < 0) {
    slots_[slot] = static_cast<std::int32_t>(size());
    bytes_ += text;
    ends_.push_back(bytes_.size());
    longest_ = std::max(longest_, text.size());
  }
  return slots_[slot];
}

std::int32_t text_index::find(std::string_view text) const noexcept {
  return slots_.empty() ? -1 : slots_[slot_of(text)];
}

std::size_t text_index::memory() const noexcept {
  return bytes_.capacity() + ends_.capacity() * sizeof(std::size_t) + slots_.capacity() * sizeof(std::int32_t);
}

}  // namespace hartonomous::tokenizer_detail
