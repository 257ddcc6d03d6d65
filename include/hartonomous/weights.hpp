// A run of weights as SQL's type `weights` is written and read: as text and as a binary message.
//
// Both are input from anyone: everything is checked here, and what is accepted has a known format and exactly the
// blocks that its format and its count ask for. How much a value can hold is the caller's to check.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

// ---- text: FORMAT[count]:blocks, two hexadecimal digits a byte, for example F32[1]:0000803f ----------------------

struct weights_text {
  format id;
  std::uint64_t count;
  std::string_view digits;  // 2 * bytes_of(id, count) characters, not yet looked at
};

// Error 22P02: not the text form. The views last as long as `text`.
weights_text parse_weights_text(std::string_view text);

// The bytes of an even number of digits of either case, to `to`. Error 22P02: a character that is no digit.
void decode_blocks(std::string_view digits, std::byte* to, interrupt_checker& interrupts);

// What stands before the digits; and the digits, two a byte, to `to`.
std::string weights_text_head(format f, std::uint32_t count);
void encode_blocks(span<const std::byte> blocks, char* to, interrupt_checker& interrupts);

// ---- binary: format and count as big-endian numbers of 4 bytes, blocks -------------------------------------------

struct weights_message {
  format id;
  std::uint32_t count;
  span<const std::byte> blocks;
};

// Error 22P03: not the binary form. `blocks` lasts as long as `message`.
weights_message parse_weights_message(span<const std::byte> message);

// What stands before the blocks.
std::array<std::byte, 8> weights_message_head(format f, std::uint32_t count);

}  // namespace hartonomous
