// Groups of sub-blocks, one sub-block in each lane of a vector: the basis of all vector encoders.
//
// Number i of every sub-block of a group is in vector i. A sum over a sub-block is then a sum of vectors, taken in the
// same order as by the scalar code, so every lane gets the scalar result bit for bit.
//
// Included once for each instruction set (see Highway's foreach_target.h), hence the unusual guard.
#if defined(HARTONOMOUS_CODEC_LANES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_CODEC_LANES_INL_HPP
#undef HARTONOMOUS_CODEC_LANES_INL_HPP
#else
#define HARTONOMOUS_CODEC_LANES_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::codecs::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// Buffers have fixed sizes, so lanes beyond 16 (very wide SVE) stay unused.
inline constexpr std::size_t max_lanes = 16;
// Lanes of the widest vectors of wide-inl.hpp.
inline constexpr std::size_t widest_lanes = 2 * max_lanes;
// Sub-blocks that an encoder fits before it packs them: a multiple of widest_lanes, and large enough that all lanes are
// mostly filled.
inline constexpr std::size_t batch_sub_blocks = 128;
using float_tag = hn::CappedTag<float, max_lanes>;
using int_tag = hn::RebindToSigned<float_tag>;
using floats = hn::Vec<float_tag>;
using ints = hn::Vec<int_tag>;
using mask = hn::Mask<float_tag>;

HWY_INLINE std::size_t lane_count() { return hn::Lanes(float_tag()); }

HWY_INLINE floats all(float value) { return hn::Set(float_tag(), value); }

// Nearest integer, ties to even, for |value| < 2^22: nearest_int() of rounding.hpp, as a float.
HWY_INLINE floats nearest(floats value) {
#if HWY_TARGET == HWY_SSSE3  // has no instruction for it
  const floats shift = all(12582912.0f);
  return hn::Sub(hn::Add(value, shift), shift);
#else
  return hn::Round(value);
#endif
}

// nearest_int() of rounding.hpp, for any value.
HWY_INLINE ints nearest_int(floats value) {
  const int_tag i;
  const ints bits = hn::BitCast(i, hn::Add(value, all(12582912.0f)));
  return hn::Sub(hn::And(bits, hn::Set(i, 0x007FFFFF)), hn::Set(i, 0x00400000));
}

HWY_INLINE ints clamp(ints value, int low, int high) {
  const int_tag i;
  return hn::Min(hn::Max(value, hn::Set(i, low)), hn::Set(i, high));
}

// Whether |value| is in the range of nearest(); false for NaN.
HWY_INLINE mask can_round(floats value) { return hn::Lt(hn::Abs(value), all(4194304.0f)); }

#if HWY_TARGET != HWY_SCALAR

// to[i * lanes + lane] = number i of sub-block `lane`. The sub-blocks lie one after the other; if there are fewer than
// `lanes`, the first one also fills the remaining lanes. Transposes four sub-blocks by four numbers at a time.
template <int Count>
HWY_INLINE void transpose(const float* from, std::size_t sub_blocks, std::size_t lanes, float* HWY_RESTRICT to) {
  const hn::FixedTag<float, 4> d;
  for (std::size_t lane = 0; lane < lanes; lane += 4) {
    const float* rows[4];
    for (std::size_t r = 0; r < 4; ++r) rows[r] = from + (lane + r < sub_blocks ? lane + r : 0) * Count;
    for (std::size_t i = 0; i < Count; i += 4) {
      const auto a = hn::LoadU(d, rows[0] + i), b = hn::LoadU(d, rows[1] + i);
      const auto c = hn::LoadU(d, rows[2] + i), e = hn::LoadU(d, rows[3] + i);
      const auto even = hn::InterleaveLower(d, a, c), odd = hn::InterleaveLower(d, b, e);
      const auto even_upper = hn::InterleaveUpper(d, a, c), odd_upper = hn::InterleaveUpper(d, b, e);
      float* column = to + i * lanes + lane;
      hn::StoreU(hn::InterleaveLower(d, even, odd), d, column);
      hn::StoreU(hn::InterleaveUpper(d, even, odd), d, column + lanes);
      hn::StoreU(hn::InterleaveLower(d, even_upper, odd_upper), d, column + 2 * lanes);
      hn::StoreU(hn::InterleaveUpper(d, even_upper, odd_upper), d, column + 3 * lanes);
    }
  }
}

// Stores levels 0..255 as bytes.
HWY_INLINE void store_levels(ints levels, std::uint8_t* to) {
  const hn::RebindToUnsigned<int_tag> unsigned_tag;
  hn::StoreU(hn::U8FromU32(hn::BitCast(unsigned_tag, levels)), hn::Rebind<std::uint8_t, int_tag>(), to);
}

// to[b] = sum of term(x) over the numbers x of block b, in float from first to last. Eight blocks are summed side by
// side, because each addition of a single sum would wait for the one before.
template <std::size_t Weights, class Term>
void sums_of_blocks(const float* x, std::size_t blocks, Term term, float* to) {
  constexpr std::size_t side = 8;
  for (std::size_t first = 0; first < blocks; first += side) {
    const float* from[side];
    float total[side] = {};
    for (std::size_t b = 0; b < side; ++b) from[b] = x + (first + b < blocks ? first + b : first) * Weights;
    for (std::size_t i = 0; i < Weights; ++i) {
      for (std::size_t b = 0; b < side; ++b) total[b] += term(from[b][i]);
    }
    for (std::size_t b = 0; b < side && first + b < blocks; ++b) to[first + b] = total[b];
  }
}

template <std::size_t Weights>
void sums_of_squares(const float* x, std::size_t blocks, float* to) {
  sums_of_blocks<Weights>(
      x, blocks, [](float value) { return value * value; }, to);
}

#endif  // HWY_TARGET

}  // namespace
}  // namespace hartonomous::codecs::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
