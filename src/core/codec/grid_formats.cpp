// IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S, IQ3_XXS and IQ3_S: groups of weights are rounded to points of a grid
// (grids.hpp).
#include <cfloat>
#include <cstring>

#include "codec/grid_encoders.hpp"
#include "codec/scalar.hpp"

namespace hartonomous::codecs {
namespace {

// ---- encoding --------------------------------------------------------------------------------------------------

struct scalar_engine {
  // The code of the point at the least weighted distance from x, if its levels stand for scale * values.
  template <int Length, int Bits>
  static unsigned nearest(const neighbor_list& list, const float* x, const float* w, float scale, const float* values) {
    float least = FLT_MAX;
    unsigned found = list.codes[0];
    for (std::uint32_t j = 0; j < list.count; ++j) {
      float distance = 0.0f;
      for (int i = 0; i < Length; ++i) {
        const float difference = scale * values[list.codes[j] >> Bits * i & ((1 << Bits) - 1)] - x[i];
        distance += w[i] * difference * difference;
      }
      if (distance < least) {
        least = distance;
        found = list.codes[j];
      }
    }
    return found;
  }

  // Rounds the weights for one scale. Returns which of the points were not met exactly, as bits.
  template <class Plan>
  static unsigned round(const grid_fit<Plan>& fit, float inverse, std::uint8_t* level) {
    const grid_neighbors& neighbors = Plan::neighbors();
    unsigned off_grid = 0;
    for (int i = 0; i < Plan::count; ++i) {
      level[i] = static_cast<std::uint8_t>(grid_level(inverse, fit.x[i], Plan::levels));
    }
    for (int k = 0; k < fit.points; ++k) {
      const int at = k * Plan::length;
      const std::uint32_t position = position_of<Plan>(level + at);
      if (neighbors.index_at(position) >= 0) continue;
      off_grid |= 1u << k;
      const unsigned code = nearest<Plan::length, Plan::bits>(neighbors.list_at(position), fit.x + at, fit.root + at,
                                                              1.0f / inverse, odd_numbers);
      unpack_code<Plan>(code, level + at);
    }
    return off_grid;
  }

  template <class Plan>
  static void try_scales(grid_fit<Plan>& fit, float largest) {
    float gain = 0.0f;
    std::uint8_t level[Plan::count];
    for (int t = -Plan::trials; t <= Plan::trials; ++t) {
      const float inverse = (static_cast<float>(Plan::top) + static_cast<float>(t) * Plan::step) / largest;
      const unsigned off_grid = round(fit, inverse, level);
      const grid_sums sums = grid_sums::of(fit, level);
      if (!(sums.q2 > 0.0f && sums.qx * sums.qx > gain * sums.q2)) continue;
      fit.scale = sums.qx / sums.q2;
      gain = fit.scale * sums.qx;
      std::memcpy(fit.level, level, sizeof level);
      for (int k = 0; k < fit.points; ++k) fit.off_grid[k] = (off_grid >> k & 1) != 0;
    }
  }

  template <class Plan>
  static iq1_split best_split(const iq1_sums* sums) {
    iq1_split best;
    for (int i1 = 0; i1 <= Plan::count; ++i1) {
      for (int i2 = i1; i2 <= Plan::count; ++i2) Plan::consider(sums, i1, i2, best);
    }
    return best;
  }
};

// ---- decoding --------------------------------------------------------------------------------------------------

template <class Layout>
void decode(const typename Layout::block& in, float* x) {
  const float d = scale_of(in);
  for (int g = 0; g < super_block / 8; ++g) {
    const float scale = Layout::scale(in, d, g / 2);
    const unsigned signs = Layout::signs(in, g);
    std::int8_t point[8];
    Layout::point(in, g, point);
    for (int i = 0; i < 8; ++i) {
      const int level = (signs >> i & 1) != 0 ? -point[i] : point[i];
      x[8 * g + i] = static_cast<float>(level) * scale;
    }
  }
}

template <class Layout>
constexpr auto decode_run = dequantize_run<typename Layout::block, super_block, decode<Layout>>;

template <class Block, void (*Encode)(const block_input&, Block&)>
constexpr auto encode_run = quantize_run<Block, super_block, Encode>;

template <class Plan, class Block>
constexpr auto encode_points = encode_run<Block, encode_grid<Plan, scalar_engine, Block>>;

}  // namespace

const codec scalar_iq1_s = {
    format::IQ1_S, decode_run<iq1_s_layout>, encode_run<block_iq1_s, encode_iq1_s<scalar_engine>>, 1, {0}};
const codec scalar_iq1_m = {
    format::IQ1_M, decode_run<iq1_m_layout>, encode_run<block_iq1_m, encode_iq1_m<scalar_engine>>, 0, {}};
const codec scalar_iq2_xxs = {
    format::IQ2_XXS, decode_run<iq2_xxs_layout>, encode_points<iq2_xxs_plan, block_iq2_xxs>, 1, {0}};
const codec scalar_iq2_xs = {
    format::IQ2_XS, decode_run<iq2_xs_layout>, encode_points<iq2_xs_plan, block_iq2_xs>, 1, {0}};
const codec scalar_iq2_s = {format::IQ2_S, decode_run<iq2_s_layout>, encode_points<iq2_s_plan, block_iq2_s>, 1, {0}};
const codec scalar_iq3_xxs = {
    format::IQ3_XXS, decode_run<iq3_xxs_layout>, encode_points<iq3_xxs_plan, block_iq3_xxs>, 1, {0}};
const codec scalar_iq3_s = {format::IQ3_S, decode_run<iq3_s_layout>, encode_points<iq3_s_plan, block_iq3_s>, 1, {0}};

}  // namespace hartonomous::codecs
