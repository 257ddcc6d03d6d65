// The text form and the binary form of SQL's type `weights`.
//
// Input in both forms is untrusted, so everything is checked here: what is accepted has a known format and exactly the
// blocks that its format and count require. The caller checks how many weights a value may have.
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
  std::string_view digits;  // 2 * bytes_of(id, count) characters, not yet checked
};

// Error 22P02 if this is not the text form. The views are valid as long as `text`.
weights_text parse_weights_text(std::string_view text);

// Decodes an even number of digits of either case into `to`. Error 22P02 if a character is not a digit.
void decode_blocks(std::string_view digits, std::byte* to, interrupt_checker& interrupts);

// The part before the digits; and the digits, two per byte, written to `to`.
std::string weights_text_head(format f, std::uint32_t count);
void encode_blocks(span<const std::byte> blocks, char* to, interrupt_checker& interrupts);

// ---- binary: format and count as big-endian numbers of 4 bytes, blocks -------------------------------------------

struct weights_message {
  format id;
  std::uint32_t count;
  span<const std::byte> blocks;
};

// Error 22P03 if this is not the binary form. `blocks` is valid as long as `message`.
weights_message parse_weights_message(span<const std::byte> message);

// The part before the blocks.
std::array<std::byte, 8> weights_message_head(format f, std::uint32_t count);

}  // namespace hartonomous
