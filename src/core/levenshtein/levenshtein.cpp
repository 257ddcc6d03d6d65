// The Levenshtein distance by a bit-vector algorithm (hartonomous/levenshtein.hpp).
//
// The matrix D has a row for each code point of the shorter text and a column for each of the longer one. Neighboring
// cells differ by -1, 0 or +1, so a block of 64 rows of a column is two words of bits (where its vertical differences
// are +1, and where they are -1), and advances to the next column in some 15 operations. Of a block that has passed all
// columns, only the horizontal differences along its last row are kept, from which the block below it starts.
#include "hartonomous/levenshtein.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "bytes/text.hpp"

namespace hartonomous {

namespace {

using codes = std::vector<std::uint32_t>;

codes code_points(std::string_view text) {
  codes out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    std::size_t const length = utf8_length(text, i);
    std::uint32_t code = static_cast<unsigned char>(text[i]);
    if (length == 0) {
      code += 0x110000;  // beyond Unicode, so that it differs from every character
    } else if (length > 1) {
      code &= 0x7fU >> length;
      for (std::size_t k = 1; k < length; ++k) code = code << 6 | (static_cast<unsigned char>(text[i + k]) & 0x3fU);
    }
    out.push_back(code);
    i += std::max<std::size_t>(1, length);
  }
  return out;
}

// A common prefix and suffix do not change the distance.
void drop_common(codes& a, codes& b) {
  const auto front = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  a.erase(a.begin(), front.first);
  b.erase(b.begin(), front.second);
  const auto back = std::mismatch(a.rbegin(), a.rend(), b.rbegin(), b.rend());
  a.erase(back.first.base(), a.end());
  b.erase(back.second.base(), b.end());
}

// Numbers the code points of a text from 1 on; code points that do not occur in it have number 0.
class numbering {
 public:
  explicit numbering(codes of) : sorted_(std::move(of)) {
    std::sort(sorted_.begin(), sorted_.end());
    sorted_.erase(std::unique(sorted_.begin(), sorted_.end()), sorted_.end());
    for (std::uint32_t c = 0; c < ascii_.size(); ++c) ascii_[c] = search(c);
  }
  std::uint32_t operator()(std::uint32_t code) const { return code < ascii_.size() ? ascii_[code] : search(code); }
  std::size_t size() const noexcept { return sorted_.size() + 1; }

 private:
  std::uint32_t search(std::uint32_t code) const {
    const auto at = std::lower_bound(sorted_.begin(), sorted_.end(), code);
    return at == sorted_.end() || *at != code ? 0 : static_cast<std::uint32_t>(at - sorted_.begin()) + 1;
  }
  codes sorted_;
  std::array<std::uint32_t, 128> ascii_{};
};

// A block that advances through the columns.
struct block {
  std::uint64_t plus = ~std::uint64_t{0}, minus = 0;  // vertical differences; in the first column they are all +1

  // Advances to the next column. `equal` has a bit set for each row whose code point is that of the column. `in_*` is
  // the horizontal difference above the block, and becomes the one at row `last`.
  void step(std::uint64_t equal, unsigned last, std::uint64_t& in_plus, std::uint64_t& in_minus) noexcept {
    std::uint64_t const vertical = equal | minus;
    equal |= in_minus;
    std::uint64_t const diagonal = (((equal & plus) + plus) ^ plus) | equal;
    std::uint64_t up = minus | ~(diagonal | plus);
    std::uint64_t down = plus & diagonal;
    std::uint64_t const out_plus = up >> last & 1;
    std::uint64_t const out_minus = down >> last & 1;
    up = up << 1 | in_plus;
    down = down << 1 | in_minus;
    plus = down | ~(vertical | up);
    minus = up & vertical;
    in_plus = out_plus;
    in_minus = out_minus;
  }
};

// Computes the columns of the matrix, block after block.
class matrix {
 public:
  matrix(const codes& rows, const codes& columns, interrupt_checker& interrupts)
      : number_(rows), rows_(rows), columns_(columns), above_(columns.size(), plus_one), interrupts_(interrupts) {
    for (std::uint32_t& c : rows_) c = number_(c);
    for (std::uint32_t& c : columns_) c = number_(c);
  }

  std::uint64_t distance() {
    std::size_t row = 0;
    for (; row + at_once * 64 < rows_.size(); row += at_once * 64) take<at_once>(row);
    for (; row < rows_.size(); row += 64) take<1>(row);
    const auto ups = static_cast<std::uint64_t>(std::count(above_.begin(), above_.end(), plus_one));
    const auto downs = static_cast<std::uint64_t>(std::count(above_.begin(), above_.end(), minus_one));
    return rows_.size() + ups - downs;
  }

 private:
  // Blocks that are computed side by side, each one column behind the one above it: the steps of one block depend on
  // each other, those of different blocks do not.
  static constexpr std::size_t at_once = 4;
  static constexpr std::uint8_t plus_one = 1, minus_one = 2;

  template <std::size_t count>
  void take(std::size_t first) {
    std::array<std::vector<std::uint64_t>, count> equal;
    std::array<unsigned, count> last{};
    for (std::size_t k = 0; k < count; ++k) {
      equal[k].assign(number_.size(), 0);
      std::size_t const begin = first + 64 * k;
      std::size_t const end = std::min(rows_.size(), begin + 64);
      for (std::size_t i = begin; i < end; ++i) equal[k][rows_[i]] |= std::uint64_t{1} << (i - begin);
      last[k] = static_cast<unsigned>(end - begin - 1);
    }
    std::array<block, count> blocks;
    std::array<std::uint64_t, count> plus{}, minus{};
    const auto step = [&](std::size_t k, std::size_t column) {
      // What the block above produced for this column, one round ago.
      std::uint64_t in_plus = k == 0 ? above_[column] & 1U : plus[k - 1];
      std::uint64_t in_minus = k == 0 ? above_[column] >> 1 : minus[k - 1];
      blocks[k].step(equal[k][columns_[column]], last[k], in_plus, in_minus);
      plus[k] = in_plus;
      minus[k] = in_minus;
      if (k == count - 1) above_[column] = static_cast<std::uint8_t>(in_plus | in_minus << 1);
    };
    std::size_t const rounds = columns_.size() + count - 1;
    for (std::size_t round = 0; round < rounds; ++round) {
      if (round % 16384 == 0) interrupts_.check();
      for (std::size_t k = count; k-- > 0;) {
        if (round >= k && round - k < columns_.size()) step(k, round - k);
      }
    }
  }

  numbering number_;
  codes rows_, columns_;
  std::vector<std::uint8_t> above_;  // horizontal differences along the last finished row
  interrupt_checker& interrupts_;
};

}  // namespace

text_distance levenshtein(std::string_view left, std::string_view right, interrupt_checker& interrupts) {
  codes a = code_points(left);
  codes b = code_points(right);
  text_distance result = {0, std::max(a.size(), b.size())};
  drop_common(a, b);
  if (a.size() > b.size()) a.swap(b);
  result.distance = a.empty() ? b.size() : matrix(a, b, interrupts).distance();
  return result;
}

}  // namespace hartonomous
