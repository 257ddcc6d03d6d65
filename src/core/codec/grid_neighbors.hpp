// Which points of a grid an encoder considers for a group of weights whose own levels are not a point.
//
// Positions: the number whose digits, to the base of the number of levels, are the levels of a group, the first
// weight's lowest. Codes: the same with two bits for each of three levels, three for each of eight.
#pragma once

#include <cstdint>
#include <vector>

namespace hartonomous::codecs {

// Lists end with copies of their first code, so that vectors of up to that many may be read.
inline constexpr std::uint32_t list_multiple = 16;

struct neighbor_list {
  const std::uint16_t* codes;  // nearest first, of equally near ones that of the lower index
  std::uint32_t count;         // a multiple of list_multiple
};

class grid_neighbors {
 public:
  // The index of the point at this position, or -1 if there is none.
  int index_at(std::uint32_t position) const noexcept {
    return entries_[position] < off_grid ? static_cast<int>(entries_[position]) : -1;
  }
  // For a position that is not a point's.
  neighbor_list list_at(std::uint32_t position) const noexcept {
    const std::uint16_t* const list = lists_.data() + (entries_[position] - off_grid);
    return {list + 1, list[0]};
  }

 private:
  template <class Points>
  friend class neighbor_builder;

  static constexpr std::uint32_t off_grid = 1u << 31;

  std::vector<std::uint32_t> entries_;  // by position: an index, or off_grid + where its list starts
  std::vector<std::uint16_t> lists_;    // the number of codes, then the codes
};

// Computed at first use, by any thread: about 0.02 s of one processor, 0.15 s for IQ1, and kept until the process ends.
const grid_neighbors& iq2_xxs_neighbors();
const grid_neighbors& iq2_xs_neighbors();
const grid_neighbors& iq2_s_neighbors();
const grid_neighbors& iq1_neighbors();
const grid_neighbors& iq3_xxs_neighbors();
const grid_neighbors& iq3_s_neighbors();

}  // namespace hartonomous::codecs
