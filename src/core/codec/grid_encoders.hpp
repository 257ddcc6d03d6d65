// The encoders of the formats with grids: fits of all sub-blocks (grid_search.hpp, iq1_search.hpp), packed. The scalar
// and the vector code differ in the Engine of the searches only.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "codec/iq1_search.hpp"
#include "codec/scalar.hpp"

namespace hartonomous::codecs {

// Blocks begin as zeros, to which bits are added.
inline void add_bits(std::uint8_t* to, std::uint32_t bits, int bytes) noexcept {
  for (int b = 0; b < bytes; ++b) to[b] = static_cast<std::uint8_t>(to[b] | bits >> 8 * b);
}

// Seven signs for each group of eight weights.
template <class Plan>
std::uint32_t packed_signs(const grid_fit<Plan>& fit) noexcept {
  std::uint32_t bits = 0;
  for (int g = 0; g < Plan::count / 8; ++g) bits |= static_cast<std::uint32_t>(fit.signs[g] & 127) << 7 * g;
  return bits;
}

inline void store(const grid_fit<iq2_xxs_plan>& fit, int j, block_iq2_xxs& out) {
  for (int k = 0; k < 4; ++k) out.qs[8 * j + k] = static_cast<std::uint8_t>(index_of(fit, k));
  add_bits(out.qs + 8 * j + 4, packed_signs(fit), 4);
}
inline void store(const grid_fit<iq2_xs_plan>& fit, int j, block_iq2_xs& out) {
  for (int k = 0; k < 2; ++k) add_bits(out.qs + 4 * j + 2 * k, index_of(fit, k) | (fit.signs[k] & 127u) << 9, 2);
}
inline void store(const grid_fit<iq2_s_plan>& fit, int j, block_iq2_s& out) {
  for (int k = 0; k < 2; ++k) {
    const int g = 2 * j + k;
    const unsigned index = index_of(fit, k);
    out.qs[g] = static_cast<std::uint8_t>(index);
    add_bits(out.qh + g / 4, index >> 8 << 2 * (g % 4), 1);
    out.signs[g] = fit.signs[k];
  }
}
inline void store(const grid_fit<iq3_xxs_plan>& fit, int j, block_iq3_xxs& out) {
  for (int k = 0; k < 8; ++k) out.qs[8 * j + k] = static_cast<std::uint8_t>(index_of(fit, k));
  add_bits(out.signs_and_scales + 4 * j, packed_signs(fit), 4);
}
// ggml 0.25 stores what follows a sub-block of zeros in its place, so that the weights of the rest of the block are
// wrong. Here each sub-block is stored in its own place; blocks without or with zeros only have the same bytes.
inline void store(const grid_fit<iq3_s_plan>& fit, int j, block_iq3_s& out) {
  for (int k = 0; k < 8; ++k) {
    const unsigned index = index_of(fit, k);
    out.qs[8 * j + k] = static_cast<std::uint8_t>(index);
    add_bits(out.qh + j, index >> 8 << k, 1);
  }
  std::memcpy(out.signs + 4 * j, fit.signs, 4);
}

inline void store_scale(unsigned bits, int j, block_iq2_xxs& out) { add_bits(out.qs + 8 * j + 4, bits << 28, 4); }
inline void store_scale(unsigned bits, int j, block_iq3_xxs& out) {
  add_bits(out.signs_and_scales + 4 * j, bits << 28, 4);
}
template <class Block>
void store_scale(unsigned bits, int j, Block& out) {
  add_bits(out.scales + j / 2, bits << 4 * (j % 2), 1);
}

// The importance of a block. If sums might overflow or vanish, it is multiplied by a power of four, which changes
// neither its ratios nor those of its roots.
class moderate_importance {
 public:
  explicit moderate_importance(const float* importance) : of_(importance) {
    float largest = 0.0f;
    for (int i = 0; importance != nullptr && i < super_block; ++i) {
      largest = largest > importance[i] ? largest : importance[i];
    }
    if (importance == nullptr || (largest >= 0x1p-30f && largest <= 0x1p30f)) return;
    int exponent = 0;
    std::frexp(largest, &exponent);
    for (int i = 0; i < super_block; ++i) values_[i] = std::ldexp(importance[i], -(exponent / 2 * 2));
    of_ = values_;
  }

  // Of the weights of a block from `i` on; null if there is none.
  const float* from(int i) const noexcept { return of_ != nullptr ? of_ + i : nullptr; }

 private:
  float values_[super_block];
  const float* of_;
};

template <class Plan, class Engine, class Block>
void encode_grid(const block_input& in, Block& out) {
  constexpr int sub_blocks = super_block / Plan::count;
  std::memset(&out, 0, sizeof out);
  const float mean_square = sum_of_squares(in.x, super_block) * (Plan::mean_squares / super_block);
  const moderate_importance importance(in.importance);
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const int at = j * Plan::count;
    grid_fit<Plan> fit;
    if (fit_sub_block<Plan, Engine>(in.x + at, importance.from(at), mean_square, fit)) store(fit, j, out);
    scale[j] = fit.scale;
  }
  const float d = extreme_scale(scale, sub_blocks) / 31.0f;
  if (d == 0.0f) {
    if (Plan::even_signs) std::memset(&out, 0, sizeof out);
    return;
  }
  out.d.set(d * Plan::stored);
  for (int j = 0; j < sub_blocks; ++j) store_scale(scale_bits(1.0f / d, scale[j], 16), j, out);
}

// ---- IQ1 -------------------------------------------------------------------------------------------------------

template <class Plan>
constexpr float iq1_square_share = 2.0f / super_block;

template <class Engine>
void encode_iq1_s(const block_input& in, block_iq1_s& out) {
  using plan = iq1_s_plan;
  constexpr int sub_blocks = super_block / plan::count;
  std::memset(&out, 0, sizeof out);
  const float mean_square = sum_of_squares(in.x, super_block) * iq1_square_share<plan>;
  const moderate_importance importance(in.importance);
  float scale[sub_blocks];
  unsigned down[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const int at = j * plan::count;
    iq1_fit<plan> fit;
    fit_iq1<plan, Engine>(in.x + at, importance.from(at), mean_square, fit);
    for (int k = 0; k < 4; ++k) {
      out.qs[4 * j + k] = static_cast<std::uint8_t>(fit.index[k]);
      add_bits(out.qh + 2 * j, static_cast<std::uint32_t>(fit.index[k] >> 8) << 3 * k, 2);
    }
    scale[j] = fit.scale;
    down[j] = fit.down != 0 ? 8 : 0;
  }
  const float d = extreme_scale(scale, sub_blocks) / 15.0f;
  if (d == 0.0f) return;
  out.d.set(d * plan::stored);
  for (int j = 0; j < sub_blocks; ++j) {
    add_bits(out.qh + 2 * j, (scale_bits(1.0f / d, scale[j], 8) | down[j]) << 12, 2);
  }
}

inline void store_scale(float d, block_iq1_m& out) {
  const unsigned half = f32_to_f16(d);
  for (int i = 0; i < 4; ++i) add_bits(out.scales + 2 * i + 1, (half >> 4 * i & 15) << 4, 1);
}

// Sums over a block for the scales and points that were chosen, from which follows its own scale.
struct iq1_m_sums {
  float qx = 0.0f, q2 = 0.0f;

  void add(const float* x, const iq1_fit<iq1_m_plan>& fit, unsigned bits) noexcept {
    for (int i = 0; i < iq1_m_plan::count; ++i) {
      const int level = iq1_points.of[fit.index[i / 8]][i % 8] / 8 + 1;
      const float q = iq1_values[fit.down >> i / 8 & 1][level] * static_cast<float>(2 * bits + 1);
      qx += fit.w[i] * q * x[i];
      q2 += fit.w[i] * q * q;
    }
  }
};

template <class Engine>
void encode_iq1_m(const block_input& in, block_iq1_m& out) {
  using plan = iq1_m_plan;
  constexpr int sub_blocks = super_block / plan::count;
  std::memset(&out, 0, sizeof out);
  const float mean_square = sum_of_squares(in.x, super_block) * iq1_square_share<plan>;
  const moderate_importance importance(in.importance);
  iq1_fit<plan> fit[sub_blocks];
  float scale[sub_blocks];
  for (int j = 0; j < sub_blocks; ++j) {
    const int at = j * plan::count;
    fit_iq1<plan, Engine>(in.x + at, importance.from(at), mean_square, fit[j]);
    out.qs[2 * j] = static_cast<std::uint8_t>(fit[j].index[0]);
    out.qs[2 * j + 1] = static_cast<std::uint8_t>(fit[j].index[1]);
    out.qh[j] = static_cast<std::uint8_t>(fit[j].index[0] >> 8 | fit[j].index[1] >> 8 << 4);
    scale[j] = fit[j].scale;
  }
  float d = extreme_scale(scale, sub_blocks) / 15.0f;
  if (d == 0.0f) return;
  iq1_m_sums sums;
  for (int j = 0; j < sub_blocks; ++j) {
    const unsigned bits = scale_bits(1.0f / d, scale[j], 8);
    add_bits(out.scales + 2 * (j / 4), bits << 3 * (j % 4), 2);
    add_bits(out.qh + j, (fit[j].down & 1) << 3 | (fit[j].down >> 1 & 1) << 7, 1);
    sums.add(in.x + j * plan::count, fit[j], bits);
  }
  if (d == d && sums.q2 > 0.0f) d = sums.qx / sums.q2;
  store_scale(d * plan::stored, out);
}

}  // namespace hartonomous::codecs
