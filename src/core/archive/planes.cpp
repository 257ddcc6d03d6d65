// Byte planes with vector instructions (planes.hpp). Bytes are loaded deinterleaved, so that rotating a word by one bit
// carries the top bit of each byte into the next.
#include "archive/planes.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "archive/planes.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::archive::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using byte = std::uint8_t;

// ---- one word: what is left over after the last whole vector -----------------------------------------------------

template <words kind>
void split_word(const byte* from, byte* planes, std::size_t stride) {
  constexpr std::size_t kept = planes_of(kind);
  const byte* lowest = from + bytes_in(kind) - kept;
  for (std::size_t b = 0; b < kept; ++b) {
    const unsigned carried = lowest[(b + kept - 1) % kept] >> 7U;
    planes[(kept - 1 - b) * stride] = static_cast<byte>(unsigned{lowest[b]} << 1U | carried);
  }
}

template <words kind>
void join_word(const byte* planes, std::size_t stride, byte* to) {
  constexpr std::size_t kept = planes_of(kind);
  constexpr std::size_t skipped = bytes_in(kind) - kept;
  for (std::size_t b = 0; b < skipped; ++b) to[b] = 0;
  for (std::size_t b = 0; b < kept; ++b) {
    const unsigned own = planes[(kept - 1 - b) * stride];
    const unsigned next = planes[(kept - 1 - (b + 1) % kept) * stride];
    to[skipped + b] = static_cast<byte>(own >> 1U | next << 7U);
  }
}

// ---- vectors of words -------------------------------------------------------------------------------------------

#if HWY_TARGET == HWY_SCALAR

std::size_t split_vectors(words, const byte*, std::size_t, byte*, std::size_t) { return 0; }
std::size_t join_vectors(words, const byte*, std::size_t, std::size_t, byte*) { return 0; }

#else

using tag = hn::ScalableTag<byte>;
using bytes = hn::Vec<tag>;

HWY_INLINE bytes carry_up(bytes own, bytes below) { return hn::Or(hn::ShiftLeft<1>(own), hn::ShiftRight<7>(below)); }
HWY_INLINE bytes carry_down(bytes own, bytes above) { return hn::Or(hn::ShiftRight<1>(own), hn::ShiftLeft<7>(above)); }

std::size_t split_vectors(words kind, const byte* from, std::size_t count, byte* planes, std::size_t stride) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    bytes a = hn::Zero(d);
    bytes b = a;
    bytes c = a;
    bytes e = a;
    byte* to = planes + i;
    if (kind == words::of_16_bits) {
      hn::LoadInterleaved2(d, from + 2 * i, c, e);
      hn::StoreU(carry_up(e, c), d, to);
      hn::StoreU(carry_up(c, e), d, to + stride);
      continue;
    }
    hn::LoadInterleaved4(d, from + 4 * i, a, b, c, e);
    hn::StoreU(carry_up(e, c), d, to);
    if (kind == words::upper_halves) {
      hn::StoreU(carry_up(c, e), d, to + stride);
      continue;
    }
    hn::StoreU(carry_up(c, b), d, to + stride);
    hn::StoreU(carry_up(b, a), d, to + 2 * stride);
    hn::StoreU(carry_up(a, e), d, to + 3 * stride);
  }
  return i;
}

std::size_t join_vectors(words kind, const byte* planes, std::size_t stride, std::size_t count, byte* to) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const byte* from = planes + i;
    const bytes highest = hn::LoadU(d, from);
    const bytes second = hn::LoadU(d, from + stride);
    if (kind == words::of_16_bits) {
      hn::StoreInterleaved2(carry_down(second, highest), carry_down(highest, second), d, to + 2 * i);
    } else if (kind == words::upper_halves) {
      const bytes zero = hn::Zero(d);
      hn::StoreInterleaved4(zero, zero, carry_down(second, highest), carry_down(highest, second), d, to + 4 * i);
    } else {
      const bytes third = hn::LoadU(d, from + 2 * stride);
      const bytes lowest = hn::LoadU(d, from + 3 * stride);
      hn::StoreInterleaved4(carry_down(lowest, third), carry_down(third, second), carry_down(second, highest),
                            carry_down(highest, lowest), d, to + 4 * i);
    }
  }
  return i;
}

#endif  // HWY_TARGET

// ---- all words ----------------------------------------------------------------------------------------------------

template <words kind>
void split_all(const byte* from, std::size_t count, byte* planes, std::size_t stride) {
  for (std::size_t i = split_vectors(kind, from, count, planes, stride); i < count; ++i) {
    split_word<kind>(from + bytes_in(kind) * i, planes + i, stride);
  }
}

template <words kind>
void join_all(const byte* planes, std::size_t stride, std::size_t count, byte* to) {
  for (std::size_t i = join_vectors(kind, planes, stride, count, to); i < count; ++i) {
    join_word<kind>(planes + i, stride, to + bytes_in(kind) * i);
  }
}

void split(words kind, const byte* from, std::size_t count, byte* planes, std::size_t stride) {
  switch (kind) {
    case words::of_16_bits:
      return split_all<words::of_16_bits>(from, count, planes, stride);
    case words::of_32_bits:
      return split_all<words::of_32_bits>(from, count, planes, stride);
    case words::upper_halves:
      return split_all<words::upper_halves>(from, count, planes, stride);
  }
}

void join(words kind, const byte* planes, std::size_t stride, std::size_t count, byte* to) {
  switch (kind) {
    case words::of_16_bits:
      return join_all<words::of_16_bits>(planes, stride, count, to);
    case words::of_32_bits:
      return join_all<words::of_32_bits>(planes, stride, count, to);
    case words::upper_halves:
      return join_all<words::upper_halves>(planes, stride, count, to);
  }
}

}  // namespace
}  // namespace hartonomous::archive::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::archive {

HWY_EXPORT(split);
HWY_EXPORT(join);

void split_planes(words kind, const std::byte* from, std::size_t count, std::byte* planes, std::size_t stride) {
  HWY_DYNAMIC_DISPATCH(split)
  (kind, reinterpret_cast<const std::uint8_t*>(from), count, reinterpret_cast<std::uint8_t*>(planes), stride);
}

void join_planes(words kind, const std::byte* planes, std::size_t stride, std::size_t count, std::byte* to) {
  HWY_DYNAMIC_DISPATCH(join)
  (kind, reinterpret_cast<const std::uint8_t*>(planes), stride, count, reinterpret_cast<std::uint8_t*>(to));
}

bool lower_halves_are_zero(const std::byte* from, std::size_t count) {
  constexpr std::size_t panel = 4096;  // weights that are not BF16 are found out in the first
  for (std::size_t begin = 0; begin < count; begin += panel) {
    const std::size_t end = begin + panel < count ? begin + panel : count;
    std::uint32_t all = 0;
    for (std::size_t i = begin; i < end; ++i) {
      std::uint16_t lower = 0;
      std::memcpy(&lower, from + 4 * i, sizeof lower);
      all |= lower;
    }
    if (all != 0) return false;
  }
  return true;
}

}  // namespace hartonomous::archive
#endif  // HWY_ONCE
