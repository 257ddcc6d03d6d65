// The positions of a tensor's atoms (hartonomous/space.hpp).
#include "hartonomous/space.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "hartonomous/statistics.hpp"

namespace hartonomous {
namespace {

// What determines an atom's position: its products with the directions of the plane, and its sum of squares.
struct moments {
  double first = 0, second = 0, energy = 0;
};

// The root of the mean of squares. Squares of very small or large weights leave the range of float; they are
// computed again in double.
double root_of(double energy, span<const float> weights) {
  const bool in_range = energy > 1e-25 && energy < 1e35;
  return in_range ? std::sqrt(energy / static_cast<double>(weights.size())) : rms(weights);
}

// The sum of squares, also of such weights.
double energy_of(double energy, span<const float> weights) {
  const double root = root_of(energy, weights);
  return root * root * static_cast<double>(weights.size());
}

// One pass over the weights. Sums are in float over 16 lanes and 1024 weights, then in double. This is exact enough for
// a position, several times as fast as double throughout, and the same on every machine.
moments moments_of(span<const float> w, const float* first, const float* second) {
  constexpr std::size_t lanes = 16, chunk = 1024;
  moments total;
  for (std::size_t begin = 0; begin < w.size(); begin += chunk) {
    const std::size_t end = std::min(w.size(), begin + chunk);
    float a[lanes] = {}, b[lanes] = {}, e[lanes] = {};
    std::size_t i = begin;
    for (; i + lanes <= end; i += lanes) {
      for (std::size_t l = 0; l < lanes; ++l) {
        a[l] += w[i + l] * first[i + l];
        b[l] += w[i + l] * second[i + l];
        e[l] += w[i + l] * w[i + l];
      }
    }
    for (; i < end; ++i) {
      a[0] += w[i] * first[i];
      b[0] += w[i] * second[i];
      e[0] += w[i] * w[i];
    }
    for (std::size_t l = 0; l < lanes; ++l) {
      total.first += static_cast<double>(a[l]);
      total.second += static_cast<double>(b[l]);
      total.energy += static_cast<double>(e[l]);
    }
  }
  return total;
}

// Scales linearly to [0, 100]. If all values are equal, and where a value is not finite, the result is 50.
template <class Field>
void scale_to_span(std::vector<atom_position>& positions, Field field) {
  float low = std::numeric_limits<float>::infinity(), high = -low;
  for (atom_position& p : positions) {
    if (!std::isfinite(field(p))) continue;
    low = std::min(low, field(p));
    high = std::max(high, field(p));
  }
  const double width = static_cast<double>(high) - static_cast<double>(low);
  for (atom_position& p : positions) {
    const double t = width > 0 && std::isfinite(field(p)) ? (static_cast<double>(field(p)) - low) / width : 0.5;
    field(p) = std::clamp(static_cast<float>(100.0 * t), 0.0f, 100.0f);
  }
}

}  // namespace

tensor_space::tensor_space(const atom_layout& layout, principal_plane plane)
    : layout_(layout), plane_(std::move(plane)) {
  positions_.reserve(layout.atoms());
}

void tensor_space::add_row(span<const float> row) {
  if (layout_.rows_per_atom() > 1) return add_to_atom(row);
  for (std::uint64_t column = 0; column < layout_.row_length; column += layout_.atom_size) {
    const std::size_t length = std::min<std::uint64_t>(layout_.atom_size, layout_.row_length - column);
    const moments m =
        moments_of(row.subspan(column, length), plane_.first.data() + column, plane_.second.data() + column);
    const double root = root_of(m.energy, row.subspan(column, length));
    positions_.push_back(
        {static_cast<float>(m.first), static_cast<float>(m.second), static_cast<float>(std::log(root))});
  }
}

void tensor_space::add_to_atom(span<const float> row) {
  const moments m = moments_of(row, plane_.first.data(), plane_.second.data());
  first_ += m.first;
  second_ += m.second;
  energy_ += energy_of(m.energy, row);
  ++rows_;
  const std::uint64_t length = layout_.length_of(positions_.size());
  if (rows_ * layout_.row_length < length) return;
  const auto rows = static_cast<double>(rows_);
  positions_.push_back({static_cast<float>(first_ / rows), static_cast<float>(second_ / rows),
                        static_cast<float>(std::log(std::sqrt(energy_ / static_cast<double>(length))))});
  first_ = second_ = energy_ = 0;
  rows_ = 0;
}

float log_root_mean_square(span<const float> weights, std::size_t row_length) {
  const auto energy = [](span<const float> w) { return moments_of(w, w.data(), w.data()).energy; };
  if (weights.size() <= row_length) return static_cast<float>(std::log(root_of(energy(weights), weights)));
  double sum = 0;
  for (std::size_t first = 0; first < weights.size(); first += row_length) {
    const span<const float> row = weights.subspan(first, row_length);
    sum += energy_of(energy(row), row);
  }
  return static_cast<float>(std::log(std::sqrt(sum / static_cast<double>(weights.size()))));
}

// Values that are not finite count neither in the range of x and y nor in the mean and deviation of importance.
void tensor_space::leave_out(std::uint64_t atom) {
  constexpr float none = std::numeric_limits<float>::quiet_NaN();
  positions_.at(atom) = {none, none, none};
}

const std::vector<atom_position>& tensor_space::positions() {
  scale_plane();
  standardise_importance();
  return positions_;
}

void tensor_space::scale_plane() {
  scale_to_span(positions_, [](atom_position& p) -> float& { return p.x; });
  scale_to_span(positions_, [](atom_position& p) -> float& { return p.y; });
}

void tensor_space::standardise_importance() {
  std::vector<float> logarithms;
  logarithms.reserve(positions_.size());
  for (const atom_position& p : positions_) logarithms.push_back(p.importance);
  standardize_importance(logarithms);
  for (std::size_t i = 0; i < logarithms.size(); ++i) positions_[i].importance = logarithms[i];
}

void standardize_importance(span<float> logarithms) {
  double sum = 0, squares = 0;
  std::uint64_t n = 0;
  for (const float v : logarithms) {
    if (!std::isfinite(v)) continue;
    sum += v;
    ++n;
  }
  const double mean = n > 0 ? sum / static_cast<double>(n) : 0.0;
  for (const float v : logarithms) {
    if (std::isfinite(v)) squares += (v - mean) * (v - mean);
  }
  const double deviation = n > 0 ? std::sqrt(squares / static_cast<double>(n)) : 0.0;
  for (float& v : logarithms) {
    if (!std::isfinite(v)) {
      v = v == -std::numeric_limits<float>::infinity() ? -10.0f : 10.0f;
    } else {
      // A deviation of only rounding noise counts as none.
      const double z = deviation > 1e-6 ? (v - mean) / deviation : 0.0;
      v = static_cast<float>(std::clamp(z, -10.0, 10.0));
    }
  }
}

namespace {

principal_plane sample_plane(const atom_layout& layout, matrix_rows& rows, thread_pool& pool,
                             interrupt_checker& interrupts) {
  const std::uint64_t count = std::min(layout.rows, plane_sample_rows);
  std::vector<std::uint64_t> numbers(count);
  for (std::uint64_t i = 0; i < count; ++i) numbers[i] = i * layout.rows / count;
  std::vector<float> sample(count * layout.row_length);
  rows.sample(numbers, sample.data());
  return find_principal_plane(sample, count, layout.row_length, pool, interrupts);
}

}  // namespace

std::uint64_t atom_positions_bytes(const atom_layout& layout) noexcept {
  return layout.atoms() * sizeof(atom_position) + plane_sample_rows * layout.row_length * 16;
}

std::vector<atom_position> atom_positions(const atom_layout& layout, matrix_rows& rows, thread_pool& pool,
                                          interrupt_checker& interrupts) {
  tensor_space space(layout, sample_plane(layout, rows, pool, interrupts));
  std::vector<float> row(layout.row_length);
  for (std::uint64_t i = 0; i < layout.rows; ++i) {
    rows.next(row.data());
    space.add_row(row);
    const bool ends_atoms = i + 1 == layout.rows || (i + 1) % layout.rows_per_atom() == 0;
    for (std::uint64_t atom = layout.first_atom(i); ends_atoms && atom < layout.end_atom(i + 1); ++atom) {
      if (!rows.has(atom)) space.leave_out(atom);
    }
  }
  return space.positions();
}

}  // namespace hartonomous
