// The neighbors of grid_neighbors.hpp, computed from the grids.
#include "codec/grid_neighbors.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codec/grids.hpp"

namespace hartonomous::codecs {

namespace {

// The levels of a grid's points from their values, which are increasing multiples: no two points need more than this.
int level_of(const std::int8_t* levels, int value) {
  int level = 0;
  while (levels[level] != value) ++level;
  return level;
}

constexpr std::int8_t three_signed[] = {-8, 0, 8};
constexpr std::int8_t three[] = {8, 25, 43};
constexpr std::int8_t eight[] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr std::int8_t eight_odd[] = {1, 3, 5, 7, 9, 11, 13, 15};

}  // namespace

// Distances between groups are sums of those of their halves, of which there are few.
template <class Points>
class neighbor_builder {
 public:
  neighbor_builder(const Points& points, const std::int8_t* levels)
      : length_(sizeof points.of[0]), base_(length_ == 8 ? 3 : 8), halves_(length_ == 8 ? 81 : 64) {
    for (const auto& point : points.of) {
      std::uint32_t position = 0, code = 0;
      for (std::size_t i = length_; i-- > 0;) {
        const auto level = static_cast<std::uint32_t>(level_of(levels, point[i]));
        position = position * base_ + level;
        code = code << (base_ == 3 ? 2 : 3) | level;
      }
      positions_.push_back(position);
      codes_.push_back(static_cast<std::uint16_t>(code));
    }
    measure_halves();
  }

  // Lists have all points at the `shells` least distances.
  grid_neighbors build(int shells) {
    grid_neighbors made;
    made.entries_.assign(halves_ * halves_, grid_neighbors::off_grid);
    for (std::size_t j = 0; j < positions_.size(); ++j) made.entries_[positions_[j]] = static_cast<std::uint32_t>(j);
    for (std::uint32_t position = 0; position < made.entries_.size(); ++position) {
      if (made.entries_[position] < grid_neighbors::off_grid) continue;
      made.entries_[position] += static_cast<std::uint32_t>(made.lists_.size());
      append(position, shells, made.lists_);
    }
    made.lists_.shrink_to_fit();
    return made;
  }

 private:
  static constexpr std::size_t longest = 256;  // more than any distance

  void measure_halves() {
    distances_.resize(halves_ * halves_);
    for (std::uint32_t a = 0; a < halves_; ++a) {
      for (std::uint32_t b = 0; b < halves_; ++b) {
        unsigned total = 0;
        for (std::uint32_t x = a, y = b, i = 0; i < length_ / 2; ++i, x /= base_, y /= base_) {
          const unsigned difference = x % base_ > y % base_ ? x % base_ - y % base_ : y % base_ - x % base_;
          total += difference * difference;
        }
        distances_[a * halves_ + b] = static_cast<std::uint8_t>(total);
      }
    }
  }

  void append(std::uint32_t position, int shells, std::vector<std::uint16_t>& lists) {
    const std::uint8_t* const lower = distances_.data() + position % halves_ * halves_;
    const std::uint8_t* const upper = distances_.data() + position / halves_ * halves_;
    std::vector<std::uint8_t>& distance = scratch_;
    distance.resize(positions_.size());
    bool present[longest] = {};
    for (std::size_t j = 0; j < positions_.size(); ++j) {
      distance[j] = static_cast<std::uint8_t>(lower[positions_[j] % halves_] + upper[positions_[j] / halves_]);
      present[distance[j]] = true;
    }
    const std::size_t start = lists.size();
    lists.push_back(0);
    for (std::size_t d = 0; d < longest && shells > 0; ++d) {
      if (!present[d]) continue;
      --shells;
      for (std::size_t j = 0; j < distance.size(); ++j) {
        if (distance[j] == d) lists.push_back(codes_[j]);
      }
    }
    while ((lists.size() - start - 1) % list_multiple != 0) lists.push_back(lists[start + 1]);
    lists[start] = static_cast<std::uint16_t>(lists.size() - start - 1);
  }

  std::size_t length_;
  std::uint32_t base_, halves_;  // halves_: how many combinations of levels half a group has
  std::vector<std::uint32_t> positions_;
  std::vector<std::uint16_t> codes_;
  std::vector<std::uint8_t> distances_, scratch_;
};

const grid_neighbors& iq2_xxs_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq2_xxs_points, three).build(2);
  return made;
}
const grid_neighbors& iq2_xs_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq2_xs_points, three).build(2);
  return made;
}
const grid_neighbors& iq2_s_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq2_s_points, three).build(1);
  return made;
}
const grid_neighbors& iq1_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq1_points, three_signed).build(3);
  return made;
}
const grid_neighbors& iq3_xxs_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq3_xxs_points, eight).build(2);
  return made;
}
const grid_neighbors& iq3_s_neighbors() {
  static const grid_neighbors made = neighbor_builder(iq3_s_points, eight_odd).build(3);
  return made;
}

}  // namespace hartonomous::codecs
