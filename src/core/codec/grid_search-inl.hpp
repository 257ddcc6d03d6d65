// The searches of grid_search.hpp and iq1_search.hpp with vector instructions: all trials of a scale side by side, one
// in each lane; likewise the points of a list, and the splits with the same first part. Sums have the order of the
// scalar code.
#if defined(HARTONOMOUS_CODEC_GRID_SEARCH_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_GRID_SEARCH_INL_HPP
#undef HARTONOMOUS_CODEC_GRID_SEARCH_INL_HPP
#else
#define HARTONOMOUS_CODEC_GRID_SEARCH_INL_HPP
#endif

#include <hwy/highway.h>

#include <cfloat>
#include <cstdint>

#include "codec/iq1_search.hpp"
#include "codec/lanes-inl.hpp"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET != HWY_SCALAR
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

// ---- the nearest point of a list -------------------------------------------------------------------------------

static_assert(list_multiple == max_lanes, "a vector of a list, or of values, is never incomplete");

// What each level of each weight would cost; levels beyond the grid's are never looked up.
struct level_costs {
  HWY_ALIGN float of[8][max_lanes];

  template <int Length>
  HWY_INLINE level_costs(const std::integral_constant<int, Length>&, const float* x, const float* w, float scale,
                         const float* values) {
    for (int i = 0; i < Length; ++i) {
      for (std::size_t l = 0; l < 8; l += lane_count()) {
        const floats scaled = hn::Mul(all(scale), hn::LoadU(float_tag(), values + l));
        const floats difference = hn::Sub(scaled, all(x[i]));
        hn::Store(hn::Mul(hn::Mul(all(w[i]), difference), difference), float_tag(), of[i] + l);
      }
    }
  }
};

// The costs of a weight for the levels in the lowest bits of each code.
template <int Bits>
HWY_INLINE floats look_up(const float* costs, ints codes) {
  const float_tag d;
  const int_tag s;
  const ints level = hn::And(codes, hn::Set(s, (1 << Bits) - 1));
  if (Bits == 2 || lane_count() >= 8) return hn::TableLookupLanes(hn::Load(d, costs), hn::IndicesFromVec(d, level));
  const auto index = hn::IndicesFromVec(d, hn::And(level, hn::Set(s, 3)));
  const floats lower = hn::TableLookupLanes(hn::Load(d, costs), index);
  const floats upper = hn::TableLookupLanes(hn::Load(d, costs + 4), index);
  return hn::IfThenElse(hn::RebindMask(d, hn::Gt(level, hn::Set(s, 3))), upper, lower);
}

// The place in the list of the least distance, the first of equal ones; those of each lane are at `at` + lane.
HWY_INLINE std::uint32_t first_of_least(floats least, ints at) {
  const float_tag d;
  const int_tag s;
  const mask equal = hn::Eq(least, hn::MinOfLanes(d, least));
  const ints place = hn::IfThenElse(hn::RebindMask(s, equal), hn::Add(at, hn::Iota(s, 0)), hn::Set(s, 1 << 16));
  return static_cast<std::uint32_t>(hn::GetLane(hn::MinOfLanes(s, place)));
}

struct vector_engine {
  template <int Length, int Bits>
  static unsigned nearest(const neighbor_list& list, const float* x, const float* w, float scale, const float* values) {
    const int_tag s;
    const hn::Rebind<std::uint16_t, int_tag> halves_tag;
    const level_costs costs(std::integral_constant<int, Length>(), x, w, scale, values);
    floats least = all(FLT_MAX);
    ints best_at = hn::Zero(s);
    for (std::uint32_t at = 0; at < list.count; at += static_cast<std::uint32_t>(lane_count())) {
      ints codes = hn::PromoteTo(s, hn::LoadU(halves_tag, list.codes + at));
      floats distance = look_up<Bits>(costs.of[0], codes);
      for (int i = 1; i < Length; ++i) {
        codes = hn::ShiftRight<Bits>(codes);
        distance = hn::Add(distance, look_up<Bits>(costs.of[i], codes));
      }
      const mask nearer = hn::Lt(distance, least);
      least = hn::IfThenElse(nearer, distance, least);
      best_at = hn::IfThenElse(hn::RebindMask(s, nearer), hn::Set(s, static_cast<std::int32_t>(at)), best_at);
    }
    return list.codes[first_of_least(least, best_at)];
  }

  // ---- scales --------------------------------------------------------------------------------------------------

  template <class Plan>
  static void try_scales(grid_fit<Plan>& fit, float largest);

  // ---- splits --------------------------------------------------------------------------------------------------

  // Only where some split of a vector improves on the best so far does the scalar code look at them one by one.
  template <class Plan>
  static iq1_split best_split(const iq1_sums* sums) {
    iq1_split best;
    const int lanes = static_cast<int>(lane_count());
    for (int i1 = 0; i1 <= Plan::count; ++i1) {
      for (int from = i1; from <= Plan::count; from += lanes) {
        if (!any_improves(Plan(), sums, i1, from, best.gain)) continue;
        const int end = from + lanes <= Plan::count ? from + lanes : Plan::count + 1;
        for (int i2 = from; i2 < end; ++i2) Plan::consider(sums, i1, i2, best);
      }
    }
    return best;
  }

 private:
  static HWY_INLINE mask improves(floats qx, floats q2, float gain) {
    return hn::And(hn::Gt(q2, all(0.0f)), hn::Gt(hn::Mul(qx, qx), hn::Mul(all(gain), q2)));
  }

  static HWY_INLINE bool any_improves(iq1_s_plan, const iq1_sums* sums, int i1, int from, float gain) {
    const float_tag d;
    const floats x1 = all(sums->x[i1]), w1 = all(sums->w[i1]);
    const floats x2 = hn::LoadU(d, sums->x + from), w2 = hn::LoadU(d, sums->w + from);
    const floats x_middle = hn::Sub(x2, x1), w_middle = hn::Sub(w2, w1);
    const floats x_upper = hn::Sub(all(sums->x[32]), x2), w_upper = hn::Sub(all(sums->w[32]), w2);
    mask any = hn::Lt(x1, x1);
    for (const auto& values : iq1_values) {
      const floats v0 = all(values[0]), v1 = all(values[1]), v2 = all(values[2]);
      const floats qx = hn::Add(hn::Add(hn::Mul(x1, v0), hn::Mul(x_middle, v1)), hn::Mul(x_upper, v2));
      const floats q2 = hn::Add(hn::Add(hn::Mul(hn::Mul(w1, v0), v0), hn::Mul(hn::Mul(w_middle, v1), v1)),
                                hn::Mul(hn::Mul(w_upper, v2), v2));
      any = hn::Or(any, improves(qx, q2, gain));
    }
    return !hn::AllFalse(d, any);
  }

  static HWY_INLINE bool any_improves(iq1_m_plan, const iq1_sums* sums, int i1, int from, float gain) {
    const float_tag d;
    HWY_ALIGN float qx[2][2][max_lanes], q2[2][2][max_lanes];
    for (int h = 0; h < 2; ++h) {
      const floats x = hn::Add(all(sums[h].x[i1]), hn::LoadU(d, sums[h].x + from));
      const floats w1 = all(sums[h].w[i1]), w2 = hn::LoadU(d, sums[h].w + from);
      for (int down = 0; down < 2; ++down) {
        const float* const v = iq1_values[down];
        const float x_all = sums[h].x[16] * v[2], w_all = sums[h].w[16] * v[2] * v[2];
        hn::Store(hn::Sub(all(x_all), x), d, qx[h][down]);
        const floats first = hn::Add(all(w_all), hn::Mul(w1, all(iq1_m_plan::fall(v, 0))));
        hn::Store(hn::Add(first, hn::Mul(w2, all(iq1_m_plan::fall(v, 1)))), d, q2[h][down]);
      }
    }
    mask any = hn::Lt(all(0.0f), all(0.0f));
    for (int k = 0; k < 4; ++k) {
      const floats x = hn::Add(hn::Load(d, qx[0][k / 2]), hn::Load(d, qx[1][k % 2]));
      const floats w = hn::Add(hn::Load(d, q2[0][k / 2]), hn::Load(d, q2[1][k % 2]));
      any = hn::Or(any, improves(x, w, gain));
    }
    return !hn::AllFalse(d, any);
  }
};

// ---- trials ----------------------------------------------------------------------------------------------------

// Rounds the weights of a sub-block for many scales: number i of trial t is level[i][t].
template <class Plan>
struct scale_trials {
  static constexpr int count = 2 * Plan::trials + 1;
  static constexpr std::size_t most = (count + max_lanes - 1) / max_lanes * max_lanes;
  static constexpr int points = grid_fit<Plan>::points;

  HWY_ALIGN float scale[most];
  HWY_ALIGN float level[Plan::count][most];
  HWY_ALIGN std::int32_t position[points][most];
  HWY_ALIGN float qx[most], q2[most];
  std::uint32_t off_grid[most] = {};

  void round(const grid_fit<Plan>& fit, float largest) {
    const float_tag d;
    const int_tag s;
    for (std::size_t t = 0; t < count; t += lane_count()) {
      const ints trial = hn::Iota(s, static_cast<std::int32_t>(t) - Plan::trials);
      const floats factor =
          hn::Add(all(static_cast<float>(Plan::top)), hn::Mul(hn::ConvertTo(d, trial), all(Plan::step)));
      const floats inverted = hn::Div(factor, all(largest));
      hn::Store(hn::Div(all(1.0f), inverted), d, scale + t);
      for (int k = 0; k < points; ++k) {
        ints place = hn::Zero(s);
        for (int i = (k + 1) * Plan::length; i-- > k * Plan::length;) {
          const floats scaled = hn::Mul(all(0.5f), hn::Sub(hn::Mul(inverted, all(fit.x[i])), all(1.0f)));
          const ints rounded = clamp(nearest_int(scaled), 0, Plan::levels - 1);
          hn::Store(hn::ConvertTo(d, rounded), d, level[i] + t);
          const ints shifted = Plan::levels == 8 ? hn::ShiftLeft<3>(place) : hn::Add(place, hn::ShiftLeft<1>(place));
          place = hn::Add(shifted, rounded);
        }
        hn::Store(place, s, position[k] + t);
      }
    }
  }

  // Moves levels that are not a point to one.
  void move_to_grid(const grid_fit<Plan>& fit) {
    const grid_neighbors& neighbors = Plan::neighbors();
    for (int k = 0; k < points; ++k) {
      const int at = k * Plan::length;
      for (int t = 0; t < count; ++t) {
        const auto place = static_cast<std::uint32_t>(position[k][t]);
        if (neighbors.index_at(place) >= 0) continue;
        off_grid[t] |= 1u << k;
        unsigned code = vector_engine::nearest<Plan::length, Plan::bits>(neighbors.list_at(place), fit.x + at,
                                                                         fit.root + at, scale[t], odd_numbers);
        for (int i = at; i < at + Plan::length; ++i, code >>= Plan::bits) {
          level[i][t] = static_cast<float>(code & ((1u << Plan::bits) - 1));
        }
      }
    }
  }

  void add_up(const grid_fit<Plan>& fit) {
    const float_tag d;
    for (std::size_t t = 0; t < count; t += lane_count()) {
      floats x = all(0.0f), w = all(0.0f);
      for (int i = 0; i < Plan::count; ++i) {
        const floats half = hn::Load(d, level[i] + t);
        const floats q = hn::Add(hn::Add(half, half), all(1.0f));
        x = hn::Add(x, hn::Mul(all(fit.w[i] * fit.x[i]), q));
        w = hn::Add(w, hn::Mul(hn::Mul(all(fit.w[i]), q), q));
      }
      hn::Store(x, d, qx + t);
      hn::Store(w, d, q2 + t);
    }
  }

  void take_best(grid_fit<Plan>& fit) const {
    int best = -1;
    float gain = 0.0f;
    for (int t = 0; t < count; ++t) {
      if (!(q2[t] > 0.0f && qx[t] * qx[t] > gain * q2[t])) continue;
      fit.scale = qx[t] / q2[t];
      gain = fit.scale * qx[t];
      best = t;
    }
    if (best < 0) return;
    for (int i = 0; i < Plan::count; ++i) fit.level[i] = static_cast<std::uint8_t>(level[i][best]);
    for (int k = 0; k < points; ++k) fit.off_grid[k] = (off_grid[best] >> k & 1) != 0;
  }
};

template <class Plan>
void vector_engine::try_scales(grid_fit<Plan>& fit, float largest) {
  scale_trials<Plan> trials;
  trials.round(fit, largest);
  trials.move_to_grid(fit);
  trials.add_up(fit);
  trials.take_best(fit);
}

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
#endif  // HWY_TARGET
HWY_AFTER_NAMESPACE();

#endif
