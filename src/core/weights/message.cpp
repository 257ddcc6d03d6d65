// The binary form of `weights` (hartonomous/weights.hpp).
#include "hartonomous/error.hpp"

#include <cstdint>

#include "hartonomous/weights.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t head_bytes = 8;

std::uint32_t load_big_endian(const std::byte* from) {
  std::uint32_t value = 0;
  for (int i = 0; i < 4; ++i) value = value << 8 | std::to_integer<std::uint32_t>(from[i]);
  return value;
}

void store_big_endian(std::uint32_t value, std::byte* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::byte>(value >> (24 - 8 * i));
}

}  // namespace

weights_message parse_weights_message(span<const std::byte> message) {
  if (message.size() < head_bytes) {
    throw error(sqlstate::invalid_binary_representation, "invalid weights: header cut short");
  }
  const std::uint32_t id = load_big_endian(message.data());
  const std::uint32_t count = load_big_endian(message.data() + 4);
  const format_traits* traits = find_format(id);
  if (traits == nullptr) {
    throw error(sqlstate::invalid_binary_representation, "invalid weights: unknown format " + std::to_string(id));
  }
  const span<const std::byte> blocks = message.subspan(head_bytes, message.size() - head_bytes);
  const std::uint64_t expected = bytes_of(traits->id, count);
  if (blocks.size() != expected) {
    throw error(
        sqlstate::invalid_binary_representation, "invalid weights: wrong number of bytes",
        "Expected " + std::to_string(expected) + " bytes of blocks, found " + std::to_string(blocks.size()) + ".");
  }
  return {traits->id, count, blocks};
}

std::array<std::byte, 8> weights_message_head(format f, std::uint32_t count) {
  std::array<std::byte, head_bytes> head = {};
  store_big_endian(static_cast<std::uint32_t>(f), head.data());
  store_big_endian(count, head.data() + 4);
  return head;
}

}  // namespace hartonomous
