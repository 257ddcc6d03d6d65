// Text found in files: whether it is UTF-8, how to show it in a message, how to write it as JSON.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hartonomous {

// Strict UTF-8: no overlong forms, no surrogates, nothing above U+10FFFF. NUL is valid.
bool is_utf8(std::string_view text) noexcept;

// Length in bytes of the valid UTF-8 sequence that begins at `i`, or 0 (table 3-7 of the Unicode standard).
std::size_t utf8_length(std::string_view text, std::size_t i) noexcept;

// Whether PostgreSQL's text can hold it: UTF-8 without NUL.
bool is_pg_text(std::string_view text) noexcept;

// Converts the bytes to what PostgreSQL's text can hold. NUL and each byte that is not part of a character become
// U+FFFD.
std::string to_pg_text(std::string_view bytes);

// A name from a file in double quotes, safe to show: printable ASCII and valid UTF-8 are unchanged, other bytes become
// \xNN, and long names are cut after about 64 bytes.
std::string show_name(std::string_view name);

// Appends a JSON string. `utf8` must be valid UTF-8; escapes are those of serde_json, which the reference
// implementation of safetensors uses.
void append_json_string(std::string& out, std::string_view utf8);

// Two lower-case hexadecimal digits per byte, and back. Decoding returns false for an odd length or another character.
void append_hex(std::string& out, std::string_view bytes);
bool decode_hex(std::string_view hex, std::string& bytes);

}  // namespace hartonomous
