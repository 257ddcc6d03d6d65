// Hash tables without deletion: open addressing, with a power of two of slots of which at most half are used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hartonomous::tokenizer_detail {

// Distributes the bits of a key over the word (the finalizer of splitmix64).
inline std::uint64_t mix(std::uint64_t key) noexcept {
  key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9U;
  key = (key ^ (key >> 27)) * 0x94d049bb133111ebU;
  return key ^ (key >> 31);
}

// 64-bit keys to values; the key ~0 is not allowed.
template <class Value>
class hash_table {
 public:
  explicit hash_table(std::size_t expected = 0) { rehash(expected); }

  // If the key exists, keeps its value.
  void insert(std::uint64_t key, Value value) {
    if (2 * (size_ + 1) > slots_.size()) rehash(2 * size_ + 1);
    entry& place = slots_[slot_of(key)];
    if (place.key == key) return;
    place = {key, value};
    ++size_;
  }
  // nullptr if the key does not exist.
  const Value* find(std::uint64_t key) const noexcept {
    const entry& place = slots_[slot_of(key)];
    return place.key == key ? &place.value : nullptr;
  }
  std::size_t memory() const noexcept { return slots_.size() * sizeof(entry); }

 private:
  static constexpr std::uint64_t free_key = ~std::uint64_t{0};
  struct entry {
    std::uint64_t key = free_key;
    Value value{};
  };

  std::size_t slot_of(std::uint64_t key) const noexcept {
    std::size_t const mask = slots_.size() - 1;
    std::size_t slot = mix(key) & mask;
    while (slots_[slot].key != key && slots_[slot].key != free_key) slot = (slot + 1) & mask;
    return slot;
  }
  void rehash(std::size_t expected) {
    std::size_t count = 16;
    while (count < 2 * expected) count *= 2;
    std::vector<entry> old(count);
    old.swap(slots_);
    for (const entry& e : old) {
      if (e.key != free_key) slots_[slot_of(e.key)] = e;
    }
  }

  std::vector<entry> slots_;
  std::size_t size_ = 0;
};

// Assigns numbers from 0 to texts, in the order in which they are added.
class text_index {
 public:
  // The number of the text, which is added if it is new.
  std::int32_t add(std::string_view text);
  // -1 if the text does not exist.
  std::int32_t find(std::string_view text) const noexcept;

  std::size_t size() const noexcept { return ends_.size(); }
  std::string_view operator[](std::size_t i) const noexcept {
    std::size_t const begin = i == 0 ? 0 : ends_[i - 1];
    return std::string_view(bytes_).substr(begin, ends_[i] - begin);
  }
  std::size_t longest() const noexcept { return longest_; }  // bytes of the longest text
  std::size_t memory() const noexcept;

 private:
  std::size_t slot_of(std::string_view text) const noexcept;
  void grow();

  std::string bytes_;                // all texts, back to back
  std::vector<std::size_t> ends_;    // of each text
  std::vector<std::int32_t> slots_;  // numbers; -1: free
  std::size_t longest_ = 0;
};

}  // namespace hartonomous::tokenizer_detail
