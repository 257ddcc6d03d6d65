// libFuzzer: any bytes, read as blocks of any readable format. They decode on every instruction set, within bounds, to
// the floats of the scalar codec.
//
// Input: a byte for the format, a byte that says how far the last block is from full, then the blocks.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "codecs.hpp"
#include "hartonomous/error.hpp"

namespace {

using namespace hartonomous;

constexpr std::size_t most_weights = std::size_t{1} << 14;

// As `dequantize` does it: whole blocks only, the rest cut off.
std::vector<float> by_scalar_codec(format f, const std::vector<std::byte>& blocks, std::size_t count) {
  const format_traits& traits = traits_of(f);
  const std::size_t whole = blocks.size() / traits.block_bytes;
  std::vector<float> weights(whole * traits.block_weights);
  find_scalar_codec(f)->dequantize_blocks(blocks.data(), weights.data(), whole);
  weights.resize(count);
  return weights;
}

// Of two NaNs the bits may differ: which operand's payload a product takes on is the compiler's choice.
bool same_floats(const std::vector<float>& a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::memcmp(&a[i], &b[i], sizeof(float)) != 0 && !(a[i] != a[i] && b[i] != b[i])) return false;
  }
  return true;
}

void check_targets(format f, const std::vector<std::byte>& blocks, std::size_t count) {
  const std::vector<float> expected = by_scalar_codec(f, blocks, count);
  no_interrupts none;
  for (const std::int64_t target : fuzz::targets()) {
    const forced_simd_target forced(target);
    std::vector<float> weights(count);
    dequantize(f, blocks, count, weights.data(), none);
    fuzz::require(same_floats(weights, expected));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const format f = fuzz::readable_format(data[0]);
  const format_traits& traits = traits_of(f);
  const std::size_t missing = data[1] % traits.block_weights;
  const std::size_t full = (size - 2) / traits.block_bytes * traits.block_weights;
  const std::size_t count = full > missing ? full - missing : 0;
  if (count > most_weights) return 0;
  const auto* from = reinterpret_cast<const std::byte*>(data + 2);
  // A copy that ends where the blocks do, so that a look beyond them is seen.
  check_targets(f, std::vector<std::byte>(from, from + bytes_of(f, count)), count);

  const std::size_t rest = size - 2 - bytes_of(f, count);
  if (rest == 0) return 0;
  try {
    std::vector<float> weights(count);
    no_interrupts none;
    dequantize(f, span<const std::byte>(from, size - 2), count, weights.data(), none);
    std::abort();  // bytes left over are an error
  } catch (const error&) {
  }
  return 0;
}
