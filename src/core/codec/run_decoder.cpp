// Decoding a chunk at a time (hartonomous/run_decoder.hpp).
#include "hartonomous/run_decoder.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous {
namespace {

bool are_floats(format f, const std::byte* blocks) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  return f == format::F32 && reinterpret_cast<std::uintptr_t>(blocks) % alignof(float) == 0;
#else
  return false;
#endif
}

}  // namespace

run_decoder::run_decoder(format f, span<const std::byte> blocks, std::size_t count)
    : format_(f), from_(blocks.data()), left_(count) {
  check_run(f, blocks, count);
  if (!are_floats(f, from_)) buffer_.resize(std::min(chunk, count));
}

span<const float> run_decoder::next(interrupt_checker& interrupts) {
  const std::size_t count = std::min(chunk, left_);
  if (count == 0) return {};
  const std::size_t bytes = bytes_of(format_, count);
  const std::byte* const from = from_;
  from_ += bytes;
  left_ -= count;
  if (buffer_.empty()) {
    interrupts.check();
    return {reinterpret_cast<const float*>(from), count};
  }
  dequantize(format_, span<const std::byte>(from, bytes), count, buffer_.data(), interrupts);
  return {buffer_.data(), count};
}

}  // namespace hartonomous
