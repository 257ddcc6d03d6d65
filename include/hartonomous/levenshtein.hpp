// The Levenshtein distance of two texts: the least number of code points to insert, delete or replace.
//
// Source: Myers (1999), "A fast bit-vector algorithm for approximate string matching based on dynamic programming", in
// Hyyro's formulation (2003): 64 cells of the matrix at a time, represented by their differences.
#pragma once

#include <cstdint>
#include <string_view>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

struct text_distance {
  std::uint64_t distance;
  std::uint64_t longer;  // code points of the longer text
  // 1 for equal texts (including two empty ones), 0 for texts with nothing in common.
  double similarity() const noexcept {
    return longer == 0 ? 1.0 : 1.0 - static_cast<double>(distance) / static_cast<double>(longer);
  }
};

// The texts are UTF-8; a byte that is not part of a character counts as a character of its own. A common prefix and
// suffix cost little. For the rest, time is proportional to the product of the lengths over 64, and memory to their
// sum.
text_distance levenshtein(std::string_view left, std::string_view right, interrupt_checker& interrupts);

}  // namespace hartonomous
