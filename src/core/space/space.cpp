// Placing the atoms of a tensor (hartonomous/space.hpp).
#include "hartonomous/space.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "hartonomous/statistics.hpp"

namespace hartonomous {
namespace {

// Linear onto [0, 100]; the middle when all are the same. Values that are not finite go to the middle.
template <class Field>
void scale_to_span(std::vector<atom_place>& places, Field field) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (atom_place& p : places) {
    if (!std::isfinite(field(p))) continue;
    low = std::min(low, field(p));
    high = std::max(high, field(p));
  }
  const double width = static_cast<double>(high) - static_cast<double>(low);
  for (atom_place& p : places) {
    const double t = width > 0 && std::isfinite(field(p)) ? (static_cast<double>(field(p)) - low) / width : 0.5;
    field(p) = std::clamp(static_cast<float>(100.0 * t), 0.0f, 100.0f);
  }
}

}  // namespace

tensor_space::tensor_space(const atom_layout& layout, principal_plane plane)
    : layout_(layout), plane_(std::move(plane)) {
  places_.reserve(layout.atoms());
}

void tensor_space::add_row(span<const float> row) {
  for (std::uint64_t column = 0; column < layout_.row_length; column += layout_.atom_size) {
    const std::size_t length = std::min<std::uint64_t>(layout_.atom_size, layout_.row_length - column);
    const span<const float> atom = row.subspan(column, length);
    const span<const float> first(plane_.first.data() + column, length);
    const span<const float> second(plane_.second.data() + column, length);
    places_.push_back({static_cast<float>(dot(atom, first)), static_cast<float>(dot(atom, second)),
                       static_cast<float>(std::log(rms(atom)))});
  }
}

const std::vector<atom_place>& tensor_space::places() {
  scale_plane();
  standardise_importance();
  return places_;
}

void tensor_space::scale_plane() {
  scale_to_span(places_, [](atom_place& p) -> float& { return p.x; });
  scale_to_span(places_, [](atom_place& p) -> float& { return p.y; });
}

void tensor_space::standardise_importance() {
  // The log of an all-zero atom is -infinity: it counts in neither mean nor deviation and ends at the low end.
  double sum = 0, squares = 0;
  std::uint64_t n = 0;
  for (const atom_place& p : places_) {
    if (!std::isfinite(p.importance)) continue;
    sum += p.importance;
    ++n;
  }
  const double mean = n > 0 ? sum / static_cast<double>(n) : 0.0;
  for (const atom_place& p : places_) {
    if (std::isfinite(p.importance)) squares += (p.importance - mean) * (p.importance - mean);
  }
  const double deviation = n > 0 ? std::sqrt(squares / static_cast<double>(n)) : 0.0;
  for (atom_place& p : places_) {
    if (!std::isfinite(p.importance)) {
      // Weights that are not numbers say nothing of their importance: such an atom is not pruned unasked.
      p.importance = p.importance == -std::numeric_limits<float>::infinity() ? -10.0f : 10.0f;
    } else {
      // A deviation of rounding noise alone is none.
      const double z = deviation > 1e-6 ? (p.importance - mean) / deviation : 0.0;
      p.importance = static_cast<float>(std::clamp(z, -10.0, 10.0));
    }
  }
}

}  // namespace hartonomous
