// How the encoders of IQ2 and IQ3 choose the scale and the points of a sub-block. The scalar and the vector code share
// this; an Engine does what takes the time: it tries scales, and looks for the nearest of the points of a list.
//
// As in search.hpp, all sums are floats in the order of the weights, and products associate as written.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "codec/grid_neighbors.hpp"
#include "codec/grids.hpp"
#include "codec/rounding.hpp"
#include "codec/search.hpp"

namespace hartonomous::codecs {

enum class refit { always_all, all_if_off_grid, off_grid_only };

// What differs between the formats. Levels q = 0, 1, ... stand for 2q + 1, the largest one for `top`; a sub-block of
// `count` weights has points of `length` weights. Trial t = -trials..trials scales by (top + t * step) / largest.
struct iq2_plan {
  static constexpr int length = 8, levels = 3, bits = 2, top = 5;
};
struct iq3_plan {
  static constexpr int length = 4, levels = 8, bits = 3, top = 15;
};
struct iq2_xxs_plan : iq2_plan {
  static constexpr int count = 32, trials = 6;
  static constexpr bool even_signs = true, search_start = true;
  static constexpr float step = 0.1f, least = negligible, mean_squares = 1.0f, stored = 1.0f;
  static constexpr refit again = refit::always_all;
  static const grid_neighbors& neighbors() { return iq2_xxs_neighbors(); }
};
struct iq2_xs_plan : iq2_plan {
  static constexpr int count = 16, trials = 9;
  static constexpr bool even_signs = true, search_start = false;
  static constexpr float step = 0.1f, least = negligible, mean_squares = 1.0f, stored = 1.0f;
  static constexpr refit again = refit::off_grid_only;
  static const grid_neighbors& neighbors() { return iq2_xs_neighbors(); }
};
struct iq2_s_plan : iq2_plan {
  static constexpr int count = 16, trials = 9;
  static constexpr bool even_signs = false, search_start = false;
  static constexpr float step = 0.1f, least = 1e-8f, mean_squares = 2.0f, stored = 0.9875f;
  static constexpr refit again = refit::off_grid_only;
  static const grid_neighbors& neighbors() { return iq2_s_neighbors(); }
};
struct iq3_xxs_plan : iq3_plan {
  static constexpr int count = 32, trials = 15;
  static constexpr bool even_signs = true, search_start = false;
  static constexpr float step = 0.2f, least = 1e-8f, mean_squares = 2.0f, stored = 1.0125f;
  static constexpr refit again = refit::off_grid_only;
  static const grid_neighbors& neighbors() { return iq3_xxs_neighbors(); }
};
struct iq3_s_plan : iq3_plan {
  static constexpr int count = 32, trials = 9;
  static constexpr bool even_signs = false, search_start = false;
  static constexpr float step = 0.2f, least = std::numeric_limits<float>::denorm_min(), mean_squares = 2.0f,
                         stored = 1.033f;
  static constexpr refit again = refit::all_if_off_grid;
  static const grid_neighbors& neighbors() { return iq3_s_neighbors(); }
};

// A sub-block while it is fitted. x are magnitudes, negative where a sign was changed to make their number even.
template <class Plan>
struct grid_fit {
  static constexpr int points = Plan::count / Plan::length;

  float x[Plan::count], w[Plan::count], root[Plan::count];  // root: of w, by which the distance to a point is weighed
  float scale;
  std::uint8_t signs[Plan::count / 8];
  std::uint8_t level[Plan::count];
  bool off_grid[points];  // whether the levels were not a point before they were moved to one
};

template <class Plan>
std::uint32_t position_of(const std::uint8_t* level) noexcept {
  std::uint32_t position = 0;
  for (int i = Plan::length; i-- > 0;) position = position * Plan::levels + level[i];
  return position;
}

template <class Plan>
void unpack_code(unsigned code, std::uint8_t* level) noexcept {
  for (int i = 0; i < Plan::length; ++i, code >>= Plan::bits) {
    level[i] = static_cast<std::uint8_t>(code & ((1u << Plan::bits) - 1));
  }
}

inline int grid_level(float inverse, float x, int levels) noexcept {
  return clamp(nearest_int(0.5f * (inverse * x - 1.0f)), 0, levels - 1);
}

// The weights: their magnitudes and signs. Of eight with an odd number of minus signs, the least important changes its
// sign.
template <class Plan>
void split_signs(const float* x, grid_fit<Plan>& fit) {
  for (int g = 0; g < Plan::count / 8; ++g) {
    const float *from = x + 8 * g, *w = fit.w + 8 * g;
    float* const to = fit.x + 8 * g;
    unsigned signs = 0, negative = 0;
    for (int i = 0; i < 8; ++i) {
      const bool minus = !(from[i] >= 0.0f);
      to[i] = minus ? -from[i] : from[i];
      signs |= static_cast<unsigned>(minus) << i;
      negative += minus ? 1 : 0;
    }
    if (Plan::even_signs && negative % 2 != 0) {
      int least = 0;
      for (int i = 1; i < 8; ++i) {
        if (w[i] * from[i] * from[i] < w[least] * from[least] * from[least]) least = i;
      }
      to[least] = -to[least];
      signs ^= 1u << least;
    }
    fit.signs[g] = static_cast<std::uint8_t>(signs);
  }
}

struct grid_sums {
  float qx = 0.0f, q2 = 0.0f;

  template <class Plan>
  static grid_sums of(const grid_fit<Plan>& fit, const std::uint8_t* level) {
    grid_sums sums;
    for (int i = 0; i < Plan::count; ++i) {
      const auto q = static_cast<float>(2 * level[i] + 1);
      sums.qx += fit.w[i] * fit.x[i] * q;
      sums.q2 += fit.w[i] * q * q;
    }
    return sums;
  }
};

// The levels 2q + 1 of IQ2 and IQ3. Padded for vectors.
inline constexpr float odd_numbers[list_multiple] = {1.0f, 3.0f, 5.0f, 7.0f, 9.0f, 11.0f, 13.0f, 15.0f};

// Rounds the weights of point k for the fit's scale.
template <class Plan, class Engine>
void round_point(grid_fit<Plan>& fit, int k) {
  const int at = k * Plan::length;
  const float inverse = 1.0f / fit.scale;
  for (int i = at; i < at + Plan::length; ++i) {
    fit.level[i] = static_cast<std::uint8_t>(grid_level(inverse, fit.x[i], Plan::levels));
  }
  const std::uint32_t position = position_of<Plan>(fit.level + at);
  const grid_neighbors& neighbors = Plan::neighbors();
  if (neighbors.index_at(position) >= 0) return;
  const unsigned code = Engine::template nearest<Plan::length, Plan::bits>(neighbors.list_at(position), fit.x + at,
                                                                           fit.root + at, fit.scale, odd_numbers);
  unpack_code<Plan>(code, fit.level + at);
}

// Points that were not met exactly are chosen again, for the scale found, and the scale for them.
template <class Plan, class Engine>
void fit_again(grid_fit<Plan>& fit) {
  bool any = Plan::again == refit::always_all;
  for (const bool off : fit.off_grid) any |= off;
  if (!any || !(fit.scale > 0.0f)) return;
  for (int k = 0; k < fit.points; ++k) {
    if (Plan::again != refit::off_grid_only || fit.off_grid[k]) round_point<Plan, Engine>(fit, k);
  }
  const grid_sums sums = grid_sums::of(fit, fit.level);
  if (sums.q2 > 0.0f) fit.scale = sums.qx / sums.q2;
}

template <class Plan>
void weigh(const float* x, const float* importance, float mean_square, float* w) {
  if (importance != nullptr) {
    importance_weights(x, importance, mean_square, Plan::count, w);
    return;
  }
  for (int i = 0; i < Plan::count; ++i) {
    if constexpr (Plan::levels == 8) {
      w[i] = x[i] * x[i];
    } else if constexpr (!Plan::even_signs) {
      w[i] = 0.25f * mean_square + x[i] * x[i];
    } else {  // ggml demands importance of these formats; here all have the same
      w[i] = std::sqrt(mean_square + x[i] * x[i]);
    }
  }
}

// Fits a sub-block. False if it is to be stored as zeros; its scale is then 0. The scale is NaN if sums overflow.
template <class Plan, class Engine>
bool fit_sub_block(const float* x, const float* importance, float mean_square, grid_fit<Plan>& fit) {
  weigh<Plan>(x, importance, mean_square, fit.w);
  split_signs(x, fit);
  fit.scale = 0.0f;
  float largest = fit.x[0];
  for (int i = 0; i < Plan::count; ++i) {
    fit.root[i] = std::sqrt(fit.w[i]);
    largest = fit.x[i] > largest ? fit.x[i] : largest;
    fit.level[i] = 0;
  }
  if (!all_finite(fit.w, Plan::count)) {
    fit.scale = std::numeric_limits<float>::quiet_NaN();
    return false;
  }
  if (largest < Plan::least) return false;
  if constexpr (Plan::search_start) {
    fit.scale = search_positive(Plan::levels + 1, Plan::count, fit.x, fit.w, fit.level);
    largest = fit.scale * static_cast<float>(Plan::levels);
    if (!(largest > 0.0f)) {
      fit.scale = 0.0f;
      return false;
    }
  } else {
    fit.scale = largest / static_cast<float>(Plan::top);
  }
  for (bool& off : fit.off_grid) off = Plan::again == refit::all_if_off_grid;
  Engine::try_scales(fit, largest);
  fit_again<Plan, Engine>(fit);
  if (fit.scale < 0.0f) {
    fit.scale = -fit.scale;
    for (std::uint8_t& signs : fit.signs) signs = static_cast<std::uint8_t>(~signs);
  }
  return true;
}

// The index of the point of group k; its levels are a point's unless the fit failed.
template <class Plan>
unsigned index_of(const grid_fit<Plan>& fit, int k) {
  const int index = Plan::neighbors().index_at(position_of<Plan>(fit.level + k * Plan::length));
  return static_cast<unsigned>(index < 0 ? 0 : index);
}

// Four bits of the scale of each sub-block, as multiples of `d`.
inline unsigned scale_bits(float inverse, float scale, int levels) noexcept {
  return static_cast<unsigned>(clamp(nearest_int(0.5f * (inverse * scale - 1.0f)), 0, levels - 1));
}

}  // namespace hartonomous::codecs
