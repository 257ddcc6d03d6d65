// The grids of the formats that round groups of weights to points of a lattice (grids.cpp), and where their blocks keep
// indexes of points, signs and scales. All of it is for any block at all: indexes are masked to the size of the grid.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "codec/blocks.hpp"

namespace hartonomous::codecs {

inline constexpr std::size_t words_of_three = 103;  // 3^8 bits
inline constexpr std::size_t words_of_eight = 64;   // 8^4 bits

// The points of a grid in the order of their indexes, each number a multiple of the scale of a sub-block.
template <std::size_t Count, std::size_t Length>
struct grid_points {
  std::int8_t of[Count][Length];
};

extern const grid_points<256, 8> iq2_xxs_points;
extern const grid_points<512, 8> iq2_xs_points;
extern const grid_points<1024, 8> iq2_s_points;
extern const grid_points<2048, 8> iq1_points;  // in eighths
extern const grid_points<256, 4> iq3_xxs_points;
extern const grid_points<512, 4> iq3_s_points;

inline unsigned low_half(unsigned byte) noexcept { return byte & 15; }

inline std::uint32_t load_bits(const std::uint8_t* from, int bytes) noexcept {
  std::uint32_t bits = 0;
  for (int b = 0; b < bytes; ++b) bits |= static_cast<std::uint32_t>(from[b]) << 8 * b;
  return bits;
}

// Seven bits of signs, one for each of the first seven weights; that of the eighth makes the number of signs even.
inline unsigned even_signs(unsigned seven) noexcept {
  unsigned parity = seven ^ seven >> 4;
  parity ^= parity >> 2;
  return seven | ((parity ^ parity >> 1) & 1) << 7;
}

inline void copy_point(const std::int8_t (&point)[8], std::int8_t* to) noexcept { std::memcpy(to, point, 8); }

// A layout says what a decoder needs of groups of eight weights, g = 0..31: the magnitudes point(in, g, to), the signs,
// one bit for each, and the factor of the magnitudes for the sixteen weights of groups 2h and 2h + 1.

struct iq2_xxs_layout {
  using block = block_iq2_xxs;
  static std::uint32_t signs_and_scale(const block& in, int sub_block) noexcept {
    return load_bits(in.qs + 8 * sub_block + 4, 4);
  }
  static void point(const block& in, int g, std::int8_t* to) noexcept {
    copy_point(iq2_xxs_points.of[in.qs[8 * (g / 4) + g % 4]], to);
  }
  static unsigned signs(const block& in, int g) noexcept {
    return even_signs(signs_and_scale(in, g / 4) >> 7 * (g % 4) & 127);
  }
  static float scale(const block& in, float d, int h) noexcept {
    return d * (0.5f + static_cast<float>(signs_and_scale(in, h / 2) >> 28)) * 0.25f;
  }
};

struct iq2_xs_layout {
  using block = block_iq2_xs;
  static void point(const block& in, int g, std::int8_t* to) noexcept {
    copy_point(iq2_xs_points.of[load_bits(in.qs + 2 * g, 2) & 511], to);
  }
  static unsigned signs(const block& in, int g) noexcept { return even_signs(load_bits(in.qs + 2 * g, 2) >> 9); }
  static float scale(const block& in, float d, int h) noexcept {
    return d * (0.5f + static_cast<float>(low_half(in.scales[h / 2] >> 4 * (h % 2)))) * 0.25f;
  }
};

struct iq2_s_layout {
  using block = block_iq2_s;
  static void point(const block& in, int g, std::int8_t* to) noexcept {
    const unsigned upper = in.qh[g / 4] >> 2 * (g % 4) & 3u;
    copy_point(iq2_s_points.of[in.qs[g] | upper << 8], to);
  }
  static unsigned signs(const block& in, int g) noexcept { return in.signs[g]; }
  static float scale(const block& in, float d, int h) noexcept {
    return d * (0.5f + static_cast<float>(low_half(in.scales[h / 2] >> 4 * (h % 2)))) * 0.25f;
  }
};

struct iq3_xxs_layout {
  using block = block_iq3_xxs;
  static std::uint32_t signs_and_scale(const block& in, int sub_block) noexcept {
    return load_bits(in.signs_and_scales + 4 * sub_block, 4);
  }
  static void point(const block& in, int g, std::int8_t* to) noexcept {
    std::memcpy(to, iq3_xxs_points.of[in.qs[2 * g]], 4);
    std::memcpy(to + 4, iq3_xxs_points.of[in.qs[2 * g + 1]], 4);
  }
  static unsigned signs(const block& in, int g) noexcept {
    return even_signs(signs_and_scale(in, g / 4) >> 7 * (g % 4) & 127);
  }
  static float scale(const block& in, float d, int h) noexcept {
    return d * (0.5f + static_cast<float>(signs_and_scale(in, h / 2) >> 28)) * 0.5f;
  }
};

struct iq3_s_layout {
  using block = block_iq3_s;
  static void point(const block& in, int g, std::int8_t* to) noexcept {
    const unsigned upper = in.qh[g / 4] >> 2 * (g % 4) & 3u;
    std::memcpy(to, iq3_s_points.of[in.qs[2 * g] | (upper & 1) << 8], 4);
    std::memcpy(to + 4, iq3_s_points.of[in.qs[2 * g + 1] | upper >> 1 << 8], 4);
  }
  static unsigned signs(const block& in, int g) noexcept { return in.signs[g]; }
  static float scale(const block& in, float d, int h) noexcept {
    return d * static_cast<float>(1 + 2 * low_half(in.scales[h / 4] >> 4 * (h / 2 % 2)));
  }
};

// IQ1's points have signs of their own. Instead, all weights of a group are shifted by an eighth, up or down.
template <class Layout>
void shifted_point(const typename Layout::block& in, int g, std::int8_t* to) noexcept {
  const int shift = Layout::shifted_down(in, g) ? -1 : 1;
  const std::int8_t(&point)[8] = iq1_points.of[Layout::index(in, g)];
  for (int i = 0; i < 8; ++i) to[i] = static_cast<std::int8_t>(point[i] + shift);
}

struct iq1_s_layout {
  using block = block_iq1_s;
  static unsigned upper_bits(const block& in, int sub_block) noexcept { return load_bits(in.qh + 2 * sub_block, 2); }
  static unsigned index(const block& in, int g) noexcept {
    return in.qs[g] | (upper_bits(in, g / 4) >> 3 * (g % 4) & 7) << 8;
  }
  static bool shifted_down(const block& in, int g) noexcept { return (upper_bits(in, g / 4) & 0x8000) != 0; }
  static void point(const block& in, int g, std::int8_t* to) noexcept { shifted_point<iq1_s_layout>(in, g, to); }
  static unsigned signs(const block&, int) noexcept { return 0; }
  static float scale(const block& in, float d, int h) noexcept {
    return d * static_cast<float>(2 * (upper_bits(in, h / 2) >> 12 & 7) + 1) * 0.125f;
  }
};

struct iq1_m_layout {
  using block = block_iq1_m;
  static unsigned nibble(const block& in, int g) noexcept { return low_half(in.qh[g / 2] >> 4 * (g % 2)); }
  static unsigned index(const block& in, int g) noexcept { return in.qs[g] | (nibble(in, g) & 7) << 8; }
  static bool shifted_down(const block& in, int g) noexcept { return (nibble(in, g) & 8) != 0; }
  static void point(const block& in, int g, std::int8_t* to) noexcept { shifted_point<iq1_m_layout>(in, g, to); }
  static unsigned signs(const block&, int) noexcept { return 0; }
  static float scale(const block& in, float d, int h) noexcept {
    const unsigned bits = load_bits(in.scales + 2 * (h / 4), 2) >> 3 * (h % 4) & 7;
    return d * static_cast<float>(2 * bits + 1) * 0.125f;
  }
};

// The scale of a block. IQ1_M's is in four pieces, the upper four bits of each 16-bit number of its scales.
template <class Block>
float scale_of(const Block& in) noexcept {
  return in.d.get();
}
inline float scale_of(const block_iq1_m& in) noexcept {
  unsigned bits = 0;
  for (int i = 0; i < 4; ++i) bits |= static_cast<unsigned>(in.scales[2 * i + 1] >> 4) << 4 * i;
  return f16_to_f32(static_cast<std::uint16_t>(bits));
}

}  // namespace hartonomous::codecs
