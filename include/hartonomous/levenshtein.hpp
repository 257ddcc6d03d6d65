// Levenshtein's distance of two texts: the fewest code points to insert, delete or replace.
//
// Source: Myers (1999), "A fast bit-vector algorithm for approximate string matching based on dynamic programming", in
// Hyyro's form (2003): 64 cells of the matrix at a time, by their differences.
#pragma once

#include <cstdint>
#include <string_view>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

struct text_distance {
  std::uint64_t distance;
  std::uint64_t longer;  // code points of the longer text
  // 1 for equal texts (two empty ones, too), 0 for texts that have nothing in common.
  double similarity() const noexcept {
    return longer == 0 ? 1.0 : 1.0 - static_cast<double>(distance) / static_cast<double>(longer);
  }
};

// The texts are UTF-8; a byte that is no part of a character counts as one of its own. Takes time in proportion to the
// product of the lengths (but for what the texts have in common at either end) over 64, and memory to their sum.
text_distance levenshtein(std::string_view left, std::string_view right, interrupt_checker& interrupts);

}  // namespace hartonomous
