// libFuzzer: any numbers of any importance. Every instruction set refuses them in the same words or encodes them to the
// bytes of the scalar codec, and what was encoded decodes to finite weights.
//
// Input: a byte for the format, two for the count, one for how the numbers are spelt (lower half) and the importance
// (upper half), then as many bytes of numbers as of importance. Both are repeated as often as it takes.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "codecs.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/half.hpp"

namespace {

using namespace hartonomous;

// More than quantize() encodes at a time.
constexpr std::size_t most_weights = 2048 + 300;

// ---- numbers from bytes ----------------------------------------------------------------------------------------

struct source {
  const std::uint8_t* data;
  std::size_t size;

  std::uint8_t byte(std::size_t i) const { return size != 0 ? data[i % size] : std::uint8_t{0}; }
  std::uint32_t bits(std::size_t i, std::size_t width) const {
    std::uint32_t value = 0;
    for (std::size_t b = 0; b < width; ++b) value |= std::uint32_t{byte(i * width + b)} << (8 * b);
    return value;
  }
};

// Any bits at all are nearly always refused for one large number among them, so most ways of spelling give numbers of
// like size, of ties, or of any size that can be encoded.
float number(const source& from, std::size_t i, unsigned spelling) {
  const auto small = static_cast<float>(static_cast<std::int8_t>(from.byte(i)));
  switch (spelling % 8) {
    case 0:
      return half_detail::float_of(from.bits(i, 4));
    case 1: {
      const float value = half_detail::float_of(from.bits(i, 4));
      return std::fabs(value) < 3e8f ? value : half_detail::float_of(from.bits(i, 4) & 0xBFFFFFFFu);
    }
    case 2:
      return f16_to_f32(static_cast<std::uint16_t>(from.bits(i, 2)));
    case 3:
      return bf16_to_f32(static_cast<std::uint16_t>(from.bits(i, 2) & 0xBFFFu));
    case 4:
      return small;
    case 5:
      return small * 0x1p-6f;
    case 6:  // around the least half
      return small * 0x1p-30f;
    default:  // around the least float
      return small * 0x1p-149f;
  }
}

std::vector<float> numbers(const source& from, std::size_t count, unsigned spelling) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = number(from, i, spelling);
  return values;
}

std::vector<float> importances(const source& from, std::size_t count, unsigned spelling) {
  std::vector<float> values = numbers(from, count, spelling);
  if (spelling >= 8) return {};
  if (spelling != 0) {
    for (float& value : values) value = std::fabs(value);
  }
  return values;
}

// ---- what must come of them ------------------------------------------------------------------------------------

struct outcome {
  std::vector<std::byte> blocks;
  std::string refusal;

  bool operator==(const outcome& other) const { return blocks == other.blocks && refusal == other.refusal; }
};

outcome quantized(format f, const std::vector<float>& values, const std::vector<float>& importance) {
  outcome result;
  result.blocks.resize(bytes_of(f, values.size()));
  try {
    no_interrupts none;
    quantize(f, values, importance, result.blocks.data(), none);
  } catch (const error& e) {
    result = {{}, std::string(e.state()) + ' ' + e.what()};
  }
  return result;
}

outcome on_every_target(format f, const std::vector<float>& values, const std::vector<float>& importance) {
  outcome first;
  for (const std::int64_t target : fuzz::targets()) {
    const forced_simd_target forced(target);
    const outcome mine = quantized(f, values, importance);
    if (target == fuzz::targets().front()) first = mine;
    fuzz::require(mine == first);
  }
  return first;
}

// As hartonomous/codec.hpp describes it.
std::vector<std::byte> by_scalar_codec(format f, std::vector<float> values, std::vector<float> importance) {
  float total = 0.0f;
  for (const float value : values) total += value * value;
  const float mean_square = importance.empty() ? 0.0f : total / static_cast<float>(values.size());
  std::vector<std::byte> blocks(bytes_of(f, values.size()));
  const std::size_t whole = blocks.size() / traits_of(f).block_bytes;
  values.resize(whole * traits_of(f).block_weights);
  if (!importance.empty()) importance.resize(values.size());
  find_scalar_codec(f)->quantize_blocks(values.data(), importance.empty() ? nullptr : importance.data(), mean_square,
                                        blocks.data(), whole);
  return blocks;
}

bool all_finite(const std::vector<float>& values) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

void check_encoded(format f, const std::vector<std::byte>& blocks, const std::vector<float>& values) {
  std::vector<float> back(values.size());
  no_interrupts none;
  dequantize(f, blocks, back.size(), back.data(), none);
  if (traits_of(f).block_weights > 1) fuzz::require(all_finite(values));
  fuzz::require(all_finite(back) == all_finite(values));
}

// Nothing is refused without a reason: these bounds are below all that quantize() has.
void check_refusal(format f, const std::string& refusal, const std::vector<float>& values,
                   const std::vector<float>& importance) {
  bool plain = !(needs_importance(f) && importance.empty());
  for (const float value : values) plain = plain && std::fabs(value) <= 0x1p15f;
  for (const float weight : importance) plain = plain && weight >= 0.0f && weight <= 0x1p15f;
  fuzz::require(!plain && (refusal.compare(0, 5, "22003") == 0 || refusal.compare(0, 5, "22023") == 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 4) return 0;
  const format f = fuzz::readable_format(data[0]);
  const std::size_t count = (data[1] | std::size_t{data[2]} << 8) % (most_weights + 1);
  const std::size_t half = (size - 4) / 2;
  const std::vector<float> values = numbers({data + 4, size - 4 - half}, count, data[3] & 15u);
  const std::vector<float> importance = importances({data + size - half, half}, count, data[3] >> 4);

  const outcome result = on_every_target(f, values, importance);
  if (result.refusal.empty()) {
    fuzz::require(result.blocks == by_scalar_codec(f, values, importance));
    check_encoded(f, result.blocks, values);
  } else {
    check_refusal(f, result.refusal, values, importance);
  }
  return 0;
}
