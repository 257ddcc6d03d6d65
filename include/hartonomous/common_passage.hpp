// Whether two texts have a passage in common, so that a text on which models are measured is kept apart from one to
// which they are fitted.
//
// Source: Karp and Rabin (1987), "Efficient randomized pattern-matching algorithms": the shorter text is cut into
// blocks, and a rolling hash finds them at any place of the longer one. What it finds is compared byte by byte.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

// Offsets and length are in bytes.
struct common_passage {
  std::size_t first_left = 0;
  std::size_t first_right = 0;
  std::size_t length = 0;
};

// Passages of fewer bytes are not found, unless they are both texts.
constexpr std::size_t passage_block = 256;

// The first passage found, as long as it goes. One is found whenever a passage of at least 2 * passage_block - 1 bytes
// is common to both texts, whenever one of at least passage_block bytes is the whole of the shorter text, and whenever
// the texts are equal and not empty. Time and memory are proportional to the sum of the lengths.
std::optional<common_passage> find_common_passage(std::string_view left, std::string_view right,
                                                  interrupt_checker& interrupts);

// Bytes that the search allocates besides the texts.
std::uint64_t common_passage_memory(std::string_view left, std::string_view right) noexcept;

}  // namespace hartonomous
