// Arrays of coordinates in four bits each (hartonomous/coordinates.hpp).
#include <algorithm>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>

#include "codec/rounding.hpp"
#include "hartonomous/coordinates.hpp"
#include "hartonomous/error.hpp"
#include "bytes/little_endian.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t header_bytes = 8;
constexpr std::size_t check_interval = std::size_t{1} << 16;

std::size_t nibble_bytes(std::size_t count) { return count / 2 + count % 2; }

std::size_t checked_block_size(std::int64_t block_size) {
  if (block_size < 1 || block_size > q4k_largest_block) {
    throw error(sqlstate::invalid_parameter_value, "invalid block size " + std::to_string(block_size),
                "The block size must be between 1 and " + std::to_string(q4k_largest_block) + ".");
  }
  return static_cast<std::size_t>(block_size);
}

// Checks for interrupts before the first block and then about every check_interval values.
class periodic_check {
 public:
  periodic_check(std::size_t block, interrupt_checker& interrupts)
      : blocks_(check_interval / std::min(block, check_interval)), interrupts_(interrupts) {}
  void next() {
    if (passed_++ % blocks_ == 0) interrupts_.check();
  }

 private:
  std::size_t blocks_, passed_ = 0;
  interrupt_checker& interrupts_;
};

// ---- one block -------------------------------------------------------------------------------------------------

struct block_scale {
  float scale, minimum;

  // Rounded half to even. Uses double only where float would overflow, because the original design computes in float.
  std::uint32_t level_of(float x) const {
    if (scale == 0.0f) return 0;
    const float above = x - minimum;
    const float level = std::isfinite(above)
                            ? above / scale
                            : static_cast<float>((static_cast<double>(x) - minimum) / static_cast<double>(scale));
    // A subnormal scale has so few bits that the maximum can come out above 15, even out of the range of nearest_int().
    return level < 15.0f ? static_cast<std::uint32_t>(codecs::nearest_int(level)) : 15u;
  }

  float value_of(std::uint32_t level) const {
    if (scale == 0.0f) return minimum;  // exact, the sign of zero included
    const float x = minimum + static_cast<float>(level) * scale;
    if (std::isfinite(x)) return x;
    // The product may overflow although the sum does not; rounding of the scale may take the sum past the largest
    // float.
    const double exact = static_cast<double>(minimum) + static_cast<double>(level) * static_cast<double>(scale);
    return static_cast<float>(std::clamp(exact, -double{FLT_MAX}, double{FLT_MAX}));
  }
};

// The smallest and the largest value. Zeros are equal whatever their signs: the first one is kept as the smallest, the
// last one as the largest.
struct bounds {
  float low, high;
};

bounds bounds_of(span<const float> values) {
  // Independent lanes, so that the compiler can vectorize the loop.
  constexpr std::size_t lanes = 16;
  if (values.size() >= lanes) {
    float low[lanes], high[lanes];
    std::copy_n(values.begin(), lanes, low);
    std::copy_n(values.begin(), lanes, high);
    std::size_t i = lanes;
    for (; i + lanes <= values.size(); i += lanes) {
      const float* const from = values.data() + i;
      for (std::size_t l = 0; l < lanes; ++l) low[l] = from[l] < low[l] ? from[l] : low[l];
      for (std::size_t l = 0; l < lanes; ++l) high[l] = from[l] > high[l] ? from[l] : high[l];
    }
    for (; i < values.size(); ++i) {
      low[0] = std::min(low[0], values[i]);
      high[0] = std::max(high[0], values[i]);
    }
    const bounds found = {*std::min_element(low, low + lanes), *std::max_element(high, high + lanes)};
    if (found.low != 0.0f && found.high != 0.0f) return found;
  }
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {*low, *high};
}

block_scale scale_of(span<const float> values) {
  const auto [low, high] = bounds_of(values);
  const float range = high - low;
  if (std::isfinite(range)) return {range / 15.0f, low};
  return {static_cast<float>((static_cast<double>(high) - low) / 15.0), low};
}

// Packs levels 2 i and 2 i + 1 into byte i, in two plain loops over chunks, which the compiler can vectorize.
void pack_levels(const block_scale& with, const float* values, std::size_t pairs, std::byte* to) {
  constexpr std::size_t chunk = 64;
  std::uint8_t levels[2 * chunk];
  for (std::size_t at = 0; at < pairs; at += chunk) {
    const std::size_t length = std::min(chunk, pairs - at);
    const float* const from = values + 2 * at;
    for (std::size_t i = 0; i < 2 * length; ++i) {
      levels[i] = static_cast<std::uint8_t>(codecs::nearest_int((from[i] - with.minimum) / with.scale));
    }
    for (std::size_t i = 0; i < length; ++i) {
      to[at + i] = static_cast<std::byte>(levels[2 * i] << 4 | levels[2 * i + 1]);
    }
  }
}

// `to` has room for header_bytes + nibble_bytes(values.size()) bytes.
void encode_block(span<const float> values, std::byte* to) {
  const block_scale with = scale_of(values);
  store_f32(with.scale, to);
  store_f32(with.minimum, to + 4);
  to += header_bytes;
  std::size_t i = 0;
  // In this range level_of() has no special case: levels are at most 15 plus rounding.
  if (with.scale >= FLT_MIN && with.scale < FLT_MAX / 16) {
    pack_levels(with, values.data(), values.size() / 2, to);
    i = values.size() / 2 * 2;
    to += values.size() / 2;
  }
  for (; i < values.size(); i += 2) {
    const std::uint32_t high = with.level_of(values[i]);
    const std::uint32_t low = i + 1 < values.size() ? with.level_of(values[i + 1]) : 0;
    *to++ = static_cast<std::byte>(high << 4 | low);
  }
}

[[noreturn]] void refuse_value(float value, std::size_t index) {
  throw error(sqlstate::numeric_value_out_of_range,
              "value at position " + std::to_string(index + 1) + (std::isnan(value) ? " is NaN" : " is infinite"));
}

// The index of the first value that is NaN or infinite; values.size() if there is none.
std::size_t find_not_finite(span<const float> values) {
  constexpr std::uint32_t exponent = 0x7F800000;
  std::uint32_t found = 0;
  for (const float value : values) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    found |= static_cast<std::uint32_t>((bits & exponent) == exponent);
  }
  if (found == 0) return values.size();
  const auto bad = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return static_cast<std::size_t>(bad - values.begin());
}

block_scale load_scale(const std::byte* from, std::size_t block) {
  const block_scale with = {load_f32(from), load_f32(from + 4)};
  if (!std::isfinite(with.scale) || !std::isfinite(with.minimum)) {
    throw error(sqlstate::invalid_binary_representation, "block " + std::to_string(block + 1) + " is damaged",
                "Its scale and its minimum must be finite numbers.");
  }
  return with;
}

void decode_nibbles(const block_scale& with, const std::byte* nibbles, std::size_t count, float* out) {
  float values[16];
  for (std::uint32_t level = 0; level < 16; ++level) values[level] = with.value_of(level);
  for (std::size_t i = 0; i < count; ++i) {
    const auto byte = std::to_integer<std::uint32_t>(nibbles[i / 2]);
    out[i] = values[i % 2 == 0 ? byte >> 4 : byte & 15];
  }
}

}  // namespace

std::int64_t q4k_bytes(std::int64_t count, std::int64_t block_size) {
  const std::size_t block = checked_block_size(block_size);
  if (count < 0) {
    throw error(sqlstate::invalid_parameter_value, "invalid length " + std::to_string(count),
                "The number of values must not be negative.");
  }
  const std::uint64_t numbers = static_cast<std::uint64_t>(count);
  const std::uint64_t block_bytes = header_bytes + nibble_bytes(block);
  const std::uint64_t blocks = numbers / block;
  const std::uint64_t rest = numbers % block;
  const std::uint64_t last = rest != 0 ? header_bytes + nibble_bytes(rest) : 0;
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  if (blocks > (most - last) / block_bytes) {
    throw error(sqlstate::program_limit_exceeded, "too many values: " + std::to_string(count));
  }
  return static_cast<std::int64_t>(blocks * block_bytes + last);
}

// ---- encoding --------------------------------------------------------------------------------------------------

q4k_encoder::q4k_encoder(std::int64_t block_size) : block_size_(checked_block_size(block_size)) {}

void q4k_encoder::append(float value) {
  if (!std::isfinite(value)) refuse_value(value, count_);
  pending_.push_back(value);
  ++count_;
  if (pending_.size() == block_size_) encode_pending();
}

void q4k_encoder::encode_pending() {
  const std::size_t at = bytes_.size();
  bytes_.resize(at + header_bytes + nibble_bytes(pending_.size()));
  encode_block(pending_, bytes_.data() + at);
  pending_.clear();
}

std::vector<std::byte> q4k_encoder::finish() {
  if (!pending_.empty()) encode_pending();
  std::vector<std::byte> done;
  done.swap(bytes_);
  count_ = 0;
  return done;
}

std::vector<std::byte> quantize_q4k(span<const float> values, std::int64_t block_size, interrupt_checker& interrupts) {
  std::vector<std::byte> bytes(
      static_cast<std::size_t>(q4k_bytes(static_cast<std::int64_t>(values.size()), block_size)));
  const std::size_t block = static_cast<std::size_t>(block_size);
  std::byte* to = bytes.data();
  periodic_check check(block, interrupts);
  for (std::size_t at = 0; at < values.size(); at += block) {
    check.next();
    const span<const float> of_block(values.data() + at, std::min(block, values.size() - at));
    const std::size_t bad = find_not_finite(of_block);
    if (bad < of_block.size()) refuse_value(of_block[bad], at + bad);
    encode_block(of_block, to);
    to += header_bytes + nibble_bytes(of_block.size());
  }
  return bytes;
}

// ---- decoding --------------------------------------------------------------------------------------------------

void check_q4k_length(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size) {
  const std::int64_t expected = q4k_bytes(original_length, block_size);
  if (bytes.size() != static_cast<std::uint64_t>(expected)) {
    throw error(sqlstate::invalid_binary_representation, "wrong number of bytes for quantized coordinates",
                std::to_string(original_length) + " values in blocks of " + std::to_string(block_size) + " take " +
                    std::to_string(expected) + " bytes, not " + std::to_string(bytes.size()) + ".");
  }
}

void dequantize_q4k(span<const std::byte> bytes, std::int64_t original_length, std::int64_t block_size, float* out,
                    interrupt_checker& interrupts) {
  check_q4k_length(bytes, original_length, block_size);
  const std::size_t block = static_cast<std::size_t>(block_size);
  const std::size_t count = static_cast<std::size_t>(original_length);
  const std::byte* from = bytes.data();
  periodic_check check(block, interrupts);
  for (std::size_t at = 0; at < count; at += block) {
    check.next();
    const std::size_t length = std::min(block, count - at);
    const block_scale with = load_scale(from, at / block);
    decode_nibbles(with, from + header_bytes, length, out + at);
    from += header_bytes + nibble_bytes(length);
  }
}

}  // namespace hartonomous
