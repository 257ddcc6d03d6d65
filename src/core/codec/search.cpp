// The searches of search.hpp.
#include "codec/search.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "codec/rounding.hpp"

namespace hartonomous::codecs {
namespace {

// ---- affine ----------------------------------------------------------------------------------------------------

constexpr int longest_group = 32;

struct affine_sums {
  float w, x;  // sums of w and w * x over the group
};

// The range is extended down to zero: low <= 0.
struct affine_range {
  float low, high;
};

affine_range range_of(int count, const float* x) {
  affine_range range = {x[0], x[0]};
  for (int i = 1; i < count; ++i) {
    if (x[i] < range.low) range.low = x[i];
    if (x[i] > range.high) range.high = x[i];
  }
  if (range.low > 0.0f) range.low = 0.0f;
  return range;
}

affine_sums sums_of(int count, const float* x, const float* w) {
  affine_sums sums = {w[0], w[0] * x[0]};
  for (int i = 1; i < count; ++i) {
    sums.w += w[i];
    sums.x += w[i] * x[i];
  }
  return sums;
}

void round_levels(const affine_plan& plan, float inverse, float low, int count, const float* x, std::uint8_t* q) {
  for (int i = 0; i < count; ++i) {
    q[i] = static_cast<std::uint8_t>(clamp(nearest_int(inverse * (x[i] - low)), 0, plan.top));
  }
}

float error_of(const affine_plan& plan, float scale, float low, int count, const float* x, const float* w,
               const std::uint8_t* q) {
  float total = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float difference = scale * static_cast<float>(q[i]) + low - x[i];
    total += w[i] * (plan.absolute_error ? std::fabs(difference) : difference * difference);
  }
  return total;
}

// Best scale and low for given levels, by the 2x2 normal equations. False if they are singular (all levels equal).
bool solve_affine(const affine_sums& sums, int count, const float* x, const float* w, const std::uint8_t* q,
                  float* scale, float* low) {
  float q1 = 0.0f, q2 = 0.0f, qx = 0.0f;  // sums of w q, w q^2, w q x
  for (int i = 0; i < count; ++i) {
    const float level = static_cast<float>(q[i]);
    const float wq = w[i] * level;
    q1 += wq;
    q2 += wq * level;
    qx += wq * x[i];
  }
  const float determinant = sums.w * q2 - q1 * q1;
  if (!(determinant > 0.0f)) return false;
  *scale = (sums.w * qx - sums.x * q1) / determinant;
  *low = (q2 * sums.x - q1 * qx) / determinant;
  if (*low > 0.0f) {  // not allowed: use the best fit through zero instead
    *low = 0.0f;
    *scale = qx / q2;
  }
  return true;
}

}  // namespace

affine_fit search_affine(const affine_plan& plan, int count, const float* x, const float* w, std::uint8_t* q) {
  const affine_range range = range_of(count, x);
  if (range.high <= range.low) {
    std::memset(q, 0, static_cast<std::size_t>(count));
    return {0.0f, -range.low};
  }
  const affine_sums sums = sums_of(count, x, w);
  // Trials start from the `low` of the best one so far.
  float low = range.low;
  const float inverse = static_cast<float>(plan.top) / (range.high - low);
  float scale = 1.0f / inverse;
  round_levels(plan, inverse, low, count, x, q);
  float least = error_of(plan, scale, low, count, x, w, q);

  std::uint8_t trial[longest_group];
  for (int t = 0; t <= plan.trials; ++t) {
    const float factor = plan.first + plan.step * static_cast<float>(t) + static_cast<float>(plan.top);
    round_levels(plan, factor / (range.high - low), low, count, x, trial);
    float trial_scale = 0, trial_low = 0;
    if (!solve_affine(sums, count, x, w, trial, &trial_scale, &trial_low)) continue;
    const float error = error_of(plan, trial_scale, trial_low, count, x, w, trial);
    if (error < least) {
      std::memcpy(q, trial, static_cast<std::size_t>(count));
      least = error;
      scale = trial_scale;
      low = trial_low;
    }
  }
  return {scale, -low};
}

// ---- symmetric -------------------------------------------------------------------------------------------------

namespace {

// The number of largest magnitude, the first of equals; 0 if all are negligible.
float extreme_of(int count, const float* x) {
  float magnitude = 0.0f, extreme = 0.0f;
  for (int i = 0; i < count; ++i) {
    if (std::fabs(x[i]) > magnitude) {
      magnitude = std::fabs(x[i]);
      extreme = x[i];
    }
  }
  return magnitude < negligible ? 0.0f : extreme;
}

int symmetric_level(int half, float inverse, float x) { return clamp(nearest_int(inverse * x), -half, half - 1); }

// Sums of w x l and w l^2 for signed levels l. Their quotient is the best scale; (sum w x l)^2 / (sum w l^2) is how
// much of the squared error that scale removes.
struct symmetric_sums {
  float xl = 0.0f, l2 = 0.0f;

  void add(float w, float x, int level) {
    const float l = static_cast<float>(level);
    xl += w * x * l;
    l2 += w * l * l;
  }
};

float weight_at(const float* x, const float* w, int i) { return w != nullptr ? w[i] : x[i] * x[i]; }

symmetric_sums sums_at(int half, float inverse, int count, const float* x, const float* w) {
  symmetric_sums sums;
  for (int i = 0; i < count; ++i) sums.add(weight_at(x, w, i), x[i], symmetric_level(half, inverse, x[i]));
  return sums;
}

void store_levels(int half, float inverse, int count, const float* x, std::int8_t* q) {
  for (int i = 0; i < count; ++i) q[i] = static_cast<std::int8_t>(half + symmetric_level(half, inverse, x[i]));
}

}  // namespace

float search_symmetric(int half, int count, const float* x, const float* w, std::int8_t* q) {
  const float extreme = extreme_of(count, x);
  if (extreme == 0.0f) {
    std::memset(q, 0, static_cast<std::size_t>(count));
    return 0.0f;
  }
  float best_inverse = static_cast<float>(-half) / extreme;
  symmetric_sums sums = sums_at(half, best_inverse, count, x, w);
  float scale = sums.l2 != 0.0f ? sums.xl / sums.l2 : 0.0f;
  float gain = scale * sums.xl;
  for (int t = -9; t <= 9; ++t) {
    if (t == 0) continue;
    const float inverse = -(static_cast<float>(half) + 0.1f * static_cast<float>(t)) / extreme;
    sums = sums_at(half, inverse, count, x, w);
    if (sums.l2 > 0.0f && sums.xl * sums.xl > gain * sums.l2) {
      best_inverse = inverse;
      scale = sums.xl / sums.l2;
      gain = scale * sums.xl;
    }
  }
  store_levels(half, best_inverse, count, x, q);
  return scale;
}

float improve_symmetric(int half, int count, const float* x, std::int8_t* q) {
  const float extreme = extreme_of(count, x);
  if (extreme == 0.0f) {
    std::memset(q, 0, static_cast<std::size_t>(count));
    return 0.0f;
  }
  const float inverse = static_cast<float>(-half) / extreme;
  symmetric_sums sums = sums_at(half, inverse, count, x, nullptr);
  store_levels(half, inverse, count, x, q);
  bool changed = true;
  for (int sweep = 0; sweep < 5 && changed; ++sweep) {
    changed = false;
    for (int i = 0; i < count; ++i) {
      const float w = x[i] * x[i];
      const int old_level = q[i] - half;
      const float l = static_cast<float>(old_level);
      symmetric_sums others = {sums.xl - w * x[i] * l, sums.l2 - w * l * l};
      if (!(others.xl > 0.0f)) continue;
      // The level of this number for the scale that fits the others.
      const int level = clamp(nearest_int(x[i] * others.l2 / others.xl), -half, half - 1);
      if (level == old_level) continue;
      others.add(w, x[i], level);
      if (others.l2 > 0.0f && others.xl * others.xl * sums.l2 > sums.xl * sums.xl * others.l2) {
        q[i] = static_cast<std::int8_t>(half + level);
        sums = others;
        changed = true;
      }
    }
  }
  return sums.xl / sums.l2;
}

// ---- positive --------------------------------------------------------------------------------------------------

namespace {

int positive_level(int top, float inverse, float x) {
  const int level = nearest_int(inverse * x);
  return level < top ? level : top;
}

float positive_error(int top, float inverse, int count, const float* x, const float* w) {
  const float scale = 1.0f / inverse;
  float total = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float difference = x[i] - scale * static_cast<float>(positive_level(top, inverse, x[i]));
    total += w[i] * difference * difference;
  }
  return total;
}

// The same for the plain scale. As in the reference, levels below zero, which only numbers below zero have, wrap around
// in a byte.
float plain_positive_error(float inverse, int count, const float* x, const float* w) {
  const float scale = 1.0f / inverse;
  float total = 0.0f;
  for (int i = 0; i < count; ++i) {
    const float difference = x[i] - scale * static_cast<float>(static_cast<std::uint8_t>(nearest_int(inverse * x[i])));
    total += w[i] * difference * difference;
  }
  return total;
}

// The reciprocal scale with the least error among the plain one and eight neighbors.
float best_positive_inverse(int top, float high, int count, const float* x, const float* w) {
  float best = static_cast<float>(top) / high;
  float least = plain_positive_error(best, count, x, w);
  for (int t = -4; t <= 4; ++t) {
    if (t == 0) continue;
    const float inverse = (0.1f * static_cast<float>(t) + static_cast<float>(top)) / high;
    const float error = positive_error(top, inverse, count, x, w);
    if (error < least) {
      least = error;
      best = inverse;
    }
  }
  return best;
}

// One pass over the levels: moves each to the best one for the scale of the others if that reduces the error.
bool improve_positive(int top, int count, const float* x, const float* w, std::uint8_t* q, symmetric_sums* sums) {
  bool changed = false;
  for (int i = 0; i < count; ++i) {
    const float l = static_cast<float>(q[i]);
    symmetric_sums others = {sums->xl - w[i] * x[i] * l, sums->l2 - w[i] * l * l};
    if (!(others.xl > 0.0f && others.l2 > 0.0f)) continue;
    const int wanted = nearest_int(x[i] * others.l2 / others.xl);
    const int level = wanted < top ? wanted : top;
    if (level == q[i]) continue;
    others.add(w[i], x[i], level);
    if (others.xl * others.xl * sums->l2 > sums->xl * sums->xl * others.l2) {
      q[i] = static_cast<std::uint8_t>(level);
      *sums = others;
      changed = true;
    }
  }
  return changed;
}

}  // namespace

float search_positive(int top, int count, const float* x, const float* w, std::uint8_t* q) {
  float high = 0.0f;
  for (int i = 0; i < count; ++i) high = x[i] > high ? x[i] : high;
  if (high == 0.0f) {
    std::memset(q, 0, static_cast<std::size_t>(count));
    return 0.0f;
  }
  const float inverse = best_positive_inverse(top, high, count, x, w);
  symmetric_sums sums;
  for (int i = 0; i < count; ++i) {
    const int level = positive_level(top, inverse, x[i]);
    q[i] = static_cast<std::uint8_t>(level);
    sums.add(w[i], x[i], level);
  }
  for (int sweep = 0; sweep < 5; ++sweep) {
    if (!improve_positive(top, count, x, w, q, &sums)) break;
  }
  return sums.l2 == 0.0f ? 0.0f : sums.xl / sums.l2;
}

bool all_finite(const float* x, int count) noexcept {
  for (int i = 0; i < count; ++i) {
    if (!std::isfinite(x[i])) return false;
  }
  return true;
}

float extreme_scale(const float* scale, int count) noexcept {
  if (!all_finite(scale, count)) return std::numeric_limits<float>::quiet_NaN();
  float magnitude = 0.0f, extreme = 0.0f;
  for (int j = 0; j < count; ++j) {
    if (std::fabs(scale[j]) > magnitude) {
      magnitude = std::fabs(scale[j]);
      extreme = scale[j];
    }
  }
  return extreme;
}

// ---- weights ---------------------------------------------------------------------------------------------------

float sum_of_squares(const float* x, int count) noexcept {
  float total = 0.0f;
  for (int i = 0; i < count; ++i) total += x[i] * x[i];
  return total;
}

float largest_magnitude(const float* x, int count) noexcept {
  float largest = 0.0f;
  for (int i = 0; i < count; ++i) largest = largest > std::fabs(x[i]) ? largest : std::fabs(x[i]);
  return largest;
}

float sum_of(const float* x, int count) noexcept {
  float total = 0.0f;
  for (int i = 0; i < count; ++i) total += x[i];
  return total;
}

void importance_weights(const float* x, const float* importance, float mean_square, int count, float* w) noexcept {
  for (int i = 0; i < count; ++i) w[i] = importance[i] * std::sqrt(mean_square + x[i] * x[i]);
}

}  // namespace hartonomous::codecs
