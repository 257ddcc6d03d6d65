// libFuzzer: any bytes, read as blocks of any format. Decoding must stay in bounds and raise nothing but its own
// errors.
//
// Input: a byte for the format's id, a byte that says how far the last block is from full, then the blocks.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"

namespace {

constexpr std::size_t most_weights = std::size_t{1} << 17;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace hartonomous;
  if (size < 2) return 0;
  const format_traits* traits = find_format(data[0] % 64u);
  if (traits == nullptr) return 0;
  const std::size_t missing = data[1] % traits->block_weights;
  const std::size_t full = (size - 2) / traits->block_bytes * traits->block_weights;
  const std::size_t count = full > missing ? full - missing : 0;
  if (count > most_weights) return 0;
  std::vector<float> weights(count);
  no_interrupt none;
  try {
    // As it should be, and with whatever is left over behind the last block.
    const std::size_t bytes = static_cast<std::size_t>(bytes_of(traits->id, count));
    const auto* blocks = reinterpret_cast<const std::byte*>(data + 2);
    dequantize(traits->id, span<const std::byte>(blocks, bytes), count, weights.data(), none);
    dequantize(traits->id, span<const std::byte>(blocks, size - 2), count, weights.data(), none);
  } catch (const error&) {
  }
  return 0;
}
