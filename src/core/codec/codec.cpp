// dequantize() and quantize(): checks, the padded last block, and work in chunks between which it can be interrupted.
#include "hartonomous/codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>

#include "codec/checks.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/half.hpp"

namespace hartonomous {
namespace {

// Weights that are checked, encoded and checked again at a time. A chunk stays in the L1 cache meanwhile, fills the
// lanes of any encoder, and takes the slowest one a fraction of a millisecond. It is a multiple of every block size.
constexpr std::size_t chunk = std::size_t{1} << 11;
constexpr std::size_t largest_block = 256;

// An incomplete last block, padded to full length.
struct padded_block {
  float values[largest_block] = {};
  float importance[largest_block] = {};
};

const codec& require(format f, bool supported, const char* verb) {
  const codec* found = supported ? find_codec(f) : nullptr;
  if (found == nullptr) {
    throw error(sqlstate::feature_not_supported, std::string("cannot ") + verb + " format " + traits_of(f).name,
                "Blocks of this format are stored and exported as they are.");
  }
  return *found;
}

// ---- what quantize() refuses -----------------------------------------------------------------------------------

[[noreturn]] void refuse_value(const format_traits& traits, std::size_t position, float value) {
  const std::string where = "value at position " + std::to_string(position);
  if (std::isfinite(value)) {
    throw error(sqlstate::numeric_value_out_of_range, where + " is too large for format " + traits.name);
  }
  throw error(sqlstate::numeric_value_out_of_range, where + (std::isnan(value) ? " is NaN" : " is infinite"),
              std::string("Format ") + traits.name + " cannot hold NaN or infinity.",
              "F32, F16 and BF16 can hold such values.");
}

codecs::magnitude_range refused_by(format f) {
  using half_detail::bits_of;
  constexpr std::uint32_t any_nan = 0x7FFFFFFF;
  switch (f) {
    case format::F16:  // from 65504 and half a unit in the last place on, finite floats would round to infinity
      return {bits_of(65520.0f), codecs::infinity_bits - 1};
    case format::BF16:  // likewise
      return {bits_of(0x1.FFp127f), codecs::infinity_bits - 1};
    case format::MXFP4:  // its scales have the exponents of a float
      return {codecs::infinity_bits, any_nan};
    default:
      // The block format with the widest range, Q6_K, reaches 65504 * 128 * 32 = 2.7e8. Larger numbers have no half
      // precision scale in any format; smaller ones overflow no float inside the encoders.
      return {bits_of(3e8f), any_nan};
  }
}

// `first` is the 0-based position of values[0] in the row.
void check_values(const format_traits& traits, span<const float> values, std::size_t first) {
  if (traits.id == format::F32) return;
  const codecs::magnitude_range refused = refused_by(traits.id);
  if (!codecs::any_in_range(refused, values.data(), values.size())) return;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (refused.contains(values[i])) refuse_value(traits, first + i + 1, values[i]);
  }
}

void check_importance(span<const float> importance, std::size_t first) {
  if (codecs::all_finite_positive(importance.data(), importance.size())) return;
  const auto* bad =
      std::find_if(importance.begin(), importance.end(), [](float w) { return !(w >= 0.0f && std::isfinite(w)); });
  const char* what = std::isnan(*bad) ? "NaN" : std::isinf(*bad) ? "infinite" : "negative";
  throw error(sqlstate::invalid_parameter_value,
              "importance at position " +
                  std::to_string(first + static_cast<std::size_t>(bad - importance.begin()) + 1) + " is " + what,
              "Importance must be a finite number, zero or more.");
}

[[noreturn]] void refuse_scale(const format_traits& traits, std::size_t block) {
  throw error(sqlstate::numeric_value_out_of_range,
              "scale of block " + std::to_string(block + 1) + " overflows half precision",
              "The block holds the values from position " + std::to_string(block * traits.block_weights + 1) +
                  "; their range, or that of their importance, is too large for format " + traits.name + ".");
}

// Set if the half at this address is NaN or infinite: its exponent is then all ones, and adding one carries.
constexpr unsigned carry = 0x80;
unsigned carry_of(const std::byte* half) { return ((std::to_integer<unsigned>(half[1]) & 0x7Cu) + 4u) & carry; }

// The scale of IQ1_M is in four pieces: the upper five bits below the sign are in bytes 5 and 7 of the scales.
void check_scattered_scales(const format_traits& traits, const std::byte* blocks, std::size_t count,
                            std::size_t first_block) {
  for (std::size_t b = 0; b < count; ++b, blocks += traits.block_bytes) {
    const auto upper = std::to_integer<unsigned>(blocks[55]), lower = std::to_integer<unsigned>(blocks[53]);
    if ((upper & 0x70u) == 0x70 && (lower & 0xC0u) == 0xC0) refuse_scale(traits, first_block + b);
  }
}

void check_scales(const codec& with, const format_traits& traits, const std::byte* blocks, std::size_t count,
                  std::size_t first_block) {
  if (with.id == format::IQ1_M) check_scattered_scales(traits, blocks, count, first_block);
  unsigned refused = 0;
  for (std::uint32_t s = 0; s < with.scale_count; ++s) {
    const std::byte* scale = blocks + with.scale_offsets[s];
    for (std::size_t b = 0; b < count; ++b, scale += traits.block_bytes) refused |= carry_of(scale);
  }
  if (refused == 0) return;
  for (std::size_t b = 0; b < count; ++b) {
    for (std::uint32_t s = 0; s < with.scale_count; ++s) {
      if (carry_of(blocks + b * traits.block_bytes + with.scale_offsets[s]) != 0) refuse_scale(traits, first_block + b);
    }
  }
}

// ---- encoding --------------------------------------------------------------------------------------------------

// Only these encoders need it. Computing it is slow, because each addition waits for the one before.
bool uses_row_mean_square(format f) {
  return f == format::Q4_0 || f == format::Q4_1 || f == format::Q5_0 || f == format::Q5_1;
}

// Mean of the squares of the row, summed in float from first to last like the reference.
float mean_square(span<const float> row, interrupt_checker& interrupts) {
  float total = 0.0f;
  for (std::size_t at = 0; at < row.size(); at += chunk) {
    interrupts.check();
    const std::size_t end = std::min(row.size(), at + chunk);
    for (std::size_t i = at; i < end; ++i) total += row[i] * row[i];
  }
  return row.empty() ? 0.0f : total / static_cast<float>(row.size());
}

struct encoder {
  const codec& with;
  const format_traits& traits;
  span<const float> values;
  span<const float> importance;  // empty or as long as values
  float row_mean_square;
  std::byte* out;

  // Encodes values[at .. at + count), where `at` is the start of a block.
  void encode(std::size_t at, std::size_t count) const {
    const std::size_t first_block = at / traits.block_weights;
    const std::size_t whole = count / traits.block_weights;
    const std::size_t rest = count % traits.block_weights;
    std::byte* to = out + first_block * traits.block_bytes;
    check_values(traits, values.subspan(at, count), at);
    const float* w = importance.empty() ? nullptr : importance.data() + at;
    with.quantize_blocks(values.data() + at, w, row_mean_square, to, whole);
    if (rest != 0) {
      const std::size_t from = at + whole * traits.block_weights;
      encode_padded(from, rest, to + whole * traits.block_bytes);
    }
    check_scales(with, traits, to, whole + (rest != 0 ? 1 : 0), first_block);
  }

  void encode_padded(std::size_t from, std::size_t count, std::byte* to) const {
    padded_block last;
    std::copy_n(values.data() + from, count, last.values);
    if (!importance.empty()) std::copy_n(importance.data() + from, count, last.importance);
    with.quantize_blocks(last.values, importance.empty() ? nullptr : last.importance, row_mean_square, to, 1);
  }
};

}  // namespace

void check_run(format f, span<const std::byte> blocks, std::size_t count) {
  const format_traits& traits = traits_of(f);
  require(f, traits.readable, "dequantize");
  if (blocks.size() != bytes_of(f, count)) {
    throw error(sqlstate::invalid_binary_representation, std::string("wrong number of bytes for format ") + traits.name,
                std::to_string(count) + " weights take " + std::to_string(bytes_of(f, count)) + " bytes, not " +
                    std::to_string(blocks.size()) + ".");
  }
}

void dequantize(format f, span<const std::byte> blocks, std::size_t count, float* out, interrupt_checker& interrupts) {
  const format_traits& traits = traits_of(f);
  check_run(f, blocks, count);
  const codec& with = *find_codec(f);
  const std::byte* from = blocks.data();
  std::size_t left = count;
  while (left >= traits.block_weights) {
    interrupts.check();
    const std::size_t run = std::min(left, chunk) / traits.block_weights;
    with.dequantize_blocks(from, out, run);
    from += run * traits.block_bytes;
    out += run * traits.block_weights;
    left -= run * traits.block_weights;
  }
  if (left != 0) {
    float last[largest_block];
    with.dequantize_blocks(from, last, 1);
    std::copy_n(last, left, out);
  }
}

bool needs_importance(format f) noexcept { return f == format::IQ2_XXS || f == format::IQ2_XS || f == format::IQ1_S; }

void quantize(format f, span<const float> values, span<const float> importance, std::byte* out,
              interrupt_checker& interrupts) {
  const format_traits& traits = traits_of(f);
  const codec& with = require(f, traits.writable, "quantize to");
  if (!importance.empty() && importance.size() != values.size()) {
    throw error(sqlstate::array_subscript_error, "importance and values must have the same length",
                "There are " + std::to_string(values.size()) + " values and " + std::to_string(importance.size()) +
                    " importances.");
  }
  for (std::size_t at = 0; at < importance.size(); at += chunk) {
    interrupts.check();
    check_importance(importance.subspan(at, std::min(chunk, importance.size() - at)), at);
  }
  if (importance.empty() && !values.empty() && needs_importance(f)) {
    throw error(sqlstate::invalid_parameter_value, std::string("format ") + traits.name + " needs importance",
                "It has too few levels to keep all weights alike.",
                "Pass the importance of each weight, or use IQ2_S or IQ1_M.");
  }
  const bool needs_row = !importance.empty() && uses_row_mean_square(f);
  const float row = needs_row ? mean_square(values, interrupts) : 0.0f;
  const encoder work = {with, traits, values, importance, row, out};
  for (std::size_t at = 0; at < values.size(); at += chunk) {
    interrupts.check();
    work.encode(at, std::min(chunk, values.size() - at));
  }
}

}  // namespace hartonomous
