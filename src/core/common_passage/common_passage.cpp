// Searching two texts for a common passage (hartonomous/common_passage.hpp).
#include "hartonomous/common_passage.hpp"

#include <algorithm>
#include <unordered_map>

namespace hartonomous {
namespace {

// The polynomial hash of a block, modulo the Mersenne prime 2^61 - 1.
class rolling_hash {
 public:
  rolling_hash() {
    for (std::size_t i = 1; i < passage_block; ++i) highest_ = product(highest_, base);
  }
  std::uint64_t of(const char* block) const {
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < passage_block; ++i) hash = append(hash, block[i]);
    return hash;
  }
  // The hash of the block that begins one byte later.
  std::uint64_t roll(std::uint64_t hash, char leaving, char entering) const {
    return append(hash + prime - product(value(leaving), highest_), entering);
  }

 private:
  static constexpr std::uint64_t prime = (std::uint64_t{1} << 61) - 1, base = 1'099'511'628'211;

  static std::uint64_t value(char byte) { return static_cast<unsigned char>(byte) + std::uint64_t{1}; }
  static std::uint64_t product(std::uint64_t a, std::uint64_t b) {
    // The product of the halves: a is below 2^62 and b below 2^61.
    __extension__ using wide = unsigned __int128;
    const wide all = static_cast<wide>(a) * b;
    const std::uint64_t sum = static_cast<std::uint64_t>(all & prime) + static_cast<std::uint64_t>(all >> 61);
    return sum < prime ? sum : sum - prime;
  }
  static std::uint64_t append(std::uint64_t hash, char byte) {
    const std::uint64_t sum = product(hash, base) + value(byte);
    return sum < prime ? sum : sum - prime;
  }

  std::uint64_t highest_ = 1;  // base to the power of passage_block - 1
};

using block_table = std::unordered_multimap<std::uint64_t, std::size_t>;

bool same_block(std::string_view a, std::size_t i, std::string_view b, std::size_t j) {
  return a.substr(i, passage_block) == b.substr(j, passage_block);
}

// The first place of each distinct block of a text: repeated ones would only be compared again and again.
block_table blocks_of(std::string_view text, const rolling_hash& hash, interrupt_checker& interrupts) {
  block_table table(text.size() / passage_block);
  for (std::size_t at = 0; at + passage_block <= text.size(); at += passage_block) {
    if (at / passage_block % 256 == 0) interrupts.check();
    const std::uint64_t key = hash.of(text.data() + at);
    const auto [first, end] = table.equal_range(key);
    const bool known = std::any_of(first, end, [&](const auto& b) { return same_block(text, b.second, text, at); });
    if (!known) table.emplace(key, at);
  }
  return table;
}

// The passage around two places with the same bytes.
common_passage extended(std::string_view a, std::size_t i, std::string_view b, std::size_t j) {
  common_passage found = {i, j, 0};
  while (found.first_left > 0 && found.first_right > 0 && a[found.first_left - 1] == b[found.first_right - 1]) {
    --found.first_left;
    --found.first_right;
  }
  std::size_t end = i, other = j;
  while (end < a.size() && other < b.size() && a[end] == b[other]) ++end, ++other;
  found.length = end - found.first_left;
  return found;
}

std::optional<common_passage> search(std::string_view shorter, std::string_view longer, interrupt_checker& interrupts) {
  const rolling_hash hash;
  const block_table table = blocks_of(shorter, hash, interrupts);
  std::uint64_t key = hash.of(longer.data());
  for (std::size_t at = 0;; ++at) {
    if (at % 65536 == 0) interrupts.check();
    const auto [first, end] = table.equal_range(key);
    const auto same =
        std::find_if(first, end, [&](const auto& b) { return same_block(shorter, b.second, longer, at); });
    if (same != end) return extended(shorter, same->second, longer, at);
    if (at + passage_block == longer.size()) return std::nullopt;
    key = hash.roll(key, longer[at], longer[at + passage_block]);
  }
}

}  // namespace

std::optional<common_passage> find_common_passage(std::string_view left, std::string_view right,
                                                  interrupt_checker& interrupts) {
  if (left == right) return left.empty() ? std::nullopt : std::optional<common_passage>({0, 0, left.size()});
  if (std::min(left.size(), right.size()) < passage_block) return std::nullopt;
  if (left.size() <= right.size()) return search(left, right, interrupts);
  std::optional<common_passage> found = search(right, left, interrupts);
  if (found) std::swap(found->first_left, found->first_right);
  return found;
}

std::uint64_t common_passage_memory(std::string_view left, std::string_view right) noexcept {
  constexpr std::uint64_t block_bytes = 64;  // a node of the table and its bucket
  return std::min(left.size(), right.size()) / passage_block * block_bytes;
}

}  // namespace hartonomous
