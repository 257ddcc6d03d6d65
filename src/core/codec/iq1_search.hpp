// How the encoders of IQ1_S and IQ1_M choose scales, points and shifts of sub-blocks. The scalar and the vector code
// share this; an Engine does what takes the time: it tries all ways to split the weights, and looks for the nearest of
// the points of a list.
//
// A sub-block's weights in ascending order are split in three, the lowest of which become -1, the next 0, the highest
// 1, each plus or minus the shift. For every split and either shift the best scale follows from sums over the three
// parts.
#pragma once

#include <cfloat>
#include <cstdint>
#include <limits>

#include "codec/grid_search.hpp"

namespace hartonomous::codecs {

inline constexpr float iq1_shift = 0.125f;
// The values of the three levels, shifted up and down. Padded for vectors.
inline constexpr float iq1_values[2][list_multiple] = {{-1.0f + iq1_shift, iq1_shift, 1.0f + iq1_shift},
                                                       {-1.0f - iq1_shift, -iq1_shift, 1.0f - iq1_shift}};

// A split into the weights up to `first`, up to `second`, and the others. Bit g of `down`: points g are shifted down.
struct iq1_split {
  float scale = 0.0f, gain = -FLT_MAX;
  int first = -1, second = -1;
  unsigned down = 0;

  // How much of the squared error the best scale removes is qx^2 / q2.
  bool improves(float qx, float q2) const noexcept { return q2 > 0.0f && qx * qx > gain * q2; }
  void take(float qx, float q2, int i1, int i2, unsigned shifts) noexcept {
    scale = qx / q2;
    gain = scale * qx;
    first = i1;
    second = i2;
    down = shifts;
  }
};

// Sums of w and w x over the lowest weights of a sub-block, as many as the place in the array says. Padded for vectors.
struct iq1_sums {
  static constexpr int most = 33 + list_multiple;
  float x[most] = {}, w[most] = {};
};

// IQ1_S: 32 weights, which are all shifted the same way.
struct iq1_s_plan {
  static constexpr int count = 32, halves = 1;
  static constexpr float least = 1e-12f, stored = 1.125f;
  static constexpr bool needs_importance = true;

  static float qx_of(const iq1_sums& s, const float* v, int i1, int i2) noexcept {
    return s.x[i1] * v[0] + (s.x[i2] - s.x[i1]) * v[1] + (s.x[count] - s.x[i2]) * v[2];
  }
  static float q2_of(const iq1_sums& s, const float* v, int i1, int i2) noexcept {
    return s.w[i1] * v[0] * v[0] + (s.w[i2] - s.w[i1]) * v[1] * v[1] + (s.w[count] - s.w[i2]) * v[2] * v[2];
  }
  static void consider(const iq1_sums* sums, int i1, int i2, iq1_split& best) noexcept {
    for (unsigned down = 0; down < 2; ++down) {
      const float qx = qx_of(*sums, iq1_values[down], i1, i2), q2 = q2_of(*sums, iq1_values[down], i1, i2);
      if (best.improves(qx, q2)) best.take(qx, q2, i1, i2, down * 15);
    }
  }
};

// IQ1_M: 16 weights, of which each half is shifted by itself; sums are kept by half.
struct iq1_m_plan {
  static constexpr int count = 16, halves = 2;
  static constexpr float least = 1e-7f, stored = 1.1125f;
  static constexpr bool needs_importance = false;

  // The differences of the squares of the values of successive levels.
  static float fall(const float* v, int level) noexcept { return v[level] * v[level] - v[level + 1] * v[level + 1]; }
  static float qx_of(const iq1_sums& s, const float* v, int i1, int i2) noexcept {
    return s.x[count] * v[2] - (s.x[i1] + s.x[i2]);
  }
  static float q2_of(const iq1_sums& s, const float* v, int i1, int i2) noexcept {
    return s.w[count] * v[2] * v[2] + s.w[i1] * fall(v, 0) + s.w[i2] * fall(v, 1);
  }
  static void consider(const iq1_sums* sums, int i1, int i2, iq1_split& best) noexcept {
    float qx[2][2], q2[2][2];
    for (int h = 0; h < 2; ++h) {
      for (int down = 0; down < 2; ++down) {
        qx[h][down] = qx_of(sums[h], iq1_values[down], i1, i2);
        q2[h][down] = q2_of(sums[h], iq1_values[down], i1, i2);
      }
    }
    for (unsigned k = 0; k < 4; ++k) {
      const float x = qx[0][k / 2] + qx[1][k % 2], w = q2[0][k / 2] + q2[1][k % 2];
      if (best.improves(x, w)) best.take(x, w, i1, i2, k / 2 | (k & 1) << 1);
    }
  }
};

template <class Plan>
struct iq1_fit {
  static constexpr int points = Plan::count / 8;

  float w[Plan::count];
  float scale = 0.0f;
  unsigned down = 0;
  std::uint16_t index[points] = {};
};

template <class Plan>
void weigh_iq1(const float* x, const float* importance, float mean_square, float* w) {
  if (importance != nullptr) {
    importance_weights(x, importance, mean_square, Plan::count, w);
    return;
  }
  for (int i = 0; i < Plan::count; ++i) {
    w[i] = Plan::needs_importance ? std::sqrt(mean_square + x[i] * x[i]) : x[i] * x[i];
  }
}

// order[r] is the place of the weight of rank r; equal ones keep their order.
template <int Count>
void sort_places(const float* x, int* order) noexcept {
  for (int i = 0; i < Count; ++i) {
    int r = i;
    for (; r > 0 && x[i] < x[order[r - 1]]; --r) order[r] = order[r - 1];
    order[r] = i;
  }
}

template <class Plan>
void add_up(const float* x, const float* w, const int* order, iq1_sums* sums) noexcept {
  for (int r = 0; r < Plan::count; ++r) {
    const int i = order[r], mine = i / (Plan::count / Plan::halves);
    for (int h = 0; h < Plan::halves; ++h) {
      sums[h].x[r + 1] = h == mine ? sums[h].x[r] + w[i] * x[i] : sums[h].x[r];
      sums[h].w[r + 1] = h == mine ? sums[h].w[r] + w[i] : sums[h].w[r];
    }
  }
}

// The levels of the best split, for a positive scale.
template <class Plan>
void take_split(const iq1_split& best, const int* order, iq1_fit<Plan>& fit, std::uint8_t* level) noexcept {
  const bool negative = best.scale < 0.0f;
  for (int r = 0; r < Plan::count; ++r) {
    const int l = r < best.first ? 0 : r < best.second ? 1 : 2;
    level[order[r]] = static_cast<std::uint8_t>(negative ? 2 - l : l);
  }
  fit.scale = negative ? -best.scale : best.scale;
  fit.down = negative ? ~best.down & ((1u << fit.points) - 1) : best.down;
}

// Finds the points of the levels, or near them, and then the scale again.
template <class Plan, class Engine>
void choose_points(const float* x, iq1_fit<Plan>& fit, std::uint8_t* level) {
  const grid_neighbors& neighbors = iq1_neighbors();
  bool exact = true;
  float qx = 0.0f, q2 = 0.0f;
  for (int k = 0; k < fit.points; ++k) {
    const float *from = x + 8 * k, *w = fit.w + 8 * k, *values = iq1_values[fit.down >> k & 1];
    const std::uint32_t position = position_of<iq2_plan>(level + 8 * k);
    if (neighbors.index_at(position) < 0) {
      exact = false;
      const unsigned code = Engine::template nearest<8, 2>(neighbors.list_at(position), from, w, fit.scale, values);
      unpack_code<iq2_plan>(code, level + 8 * k);
    }
    fit.index[k] = static_cast<std::uint16_t>(neighbors.index_at(position_of<iq2_plan>(level + 8 * k)));
    for (int i = 0; i < 8; ++i) {
      const float q = values[level[8 * k + i]];
      qx += w[i] * q * from[i];
      q2 += w[i] * q * q;
    }
  }
  if (!exact && qx > 0.0f && q2 > 0.0f) fit.scale = qx / q2;
}

// Fits a sub-block. False if it is to be stored as zeros; its scale is then 0. The scale is NaN if sums overflow.
template <class Plan, class Engine>
bool fit_iq1(const float* x, const float* importance, float mean_square, iq1_fit<Plan>& fit) {
  weigh_iq1<Plan>(x, importance, mean_square, fit.w);
  if (!all_finite(fit.w, Plan::count)) {
    fit.scale = std::numeric_limits<float>::quiet_NaN();
    return false;
  }
  float largest = 0.0f;
  for (int i = 0; i < Plan::count; ++i) largest = largest > std::fabs(x[i]) ? largest : std::fabs(x[i]);
  if (largest < Plan::least) return false;
  int order[Plan::count];
  sort_places<Plan::count>(x, order);
  iq1_sums sums[Plan::halves];
  add_up<Plan>(x, fit.w, order, sums);
  const iq1_split best = Engine::template best_split<Plan>(sums);
  if (best.first < 0) return false;
  std::uint8_t level[Plan::count];
  take_split(best, order, fit, level);
  choose_points<Plan, Engine>(x, fit, level);
  return true;
}

}  // namespace hartonomous::codecs
