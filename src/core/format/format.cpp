// The table of number formats: names, block sizes, and what this library supports.
#include "hartonomous/format.hpp"

#include <cstdint>
#include <limits>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous {
namespace {

constexpr bool yes = true;
constexpr bool no = false;

// In order of ids. Of a format that is neither readable nor writable only the size is known: its blocks can be stored,
// copied and exported, but not computed with.
constexpr format_traits table[] = {
    // id               name      weights bytes  readable writable
    {format::F32, "F32", 1, 4, yes, yes},
    {format::F16, "F16", 1, 2, yes, yes},
    {format::Q4_0, "Q4_0", 32, 18, yes, yes},
    {format::Q4_1, "Q4_1", 32, 20, yes, yes},
    {format::Q5_0, "Q5_0", 32, 22, yes, yes},
    {format::Q5_1, "Q5_1", 32, 24, yes, yes},
    {format::Q8_0, "Q8_0", 32, 34, yes, yes},
    {format::Q8_1, "Q8_1", 32, 36, no, no},
    {format::Q2_K, "Q2_K", 256, 84, yes, yes},
    {format::Q3_K, "Q3_K", 256, 110, yes, yes},
    {format::Q4_K, "Q4_K", 256, 144, yes, yes},
    {format::Q5_K, "Q5_K", 256, 176, yes, yes},
    {format::Q6_K, "Q6_K", 256, 210, yes, yes},
    {format::Q8_K, "Q8_K", 256, 292, no, no},
    {format::IQ2_XXS, "IQ2_XXS", 256, 66, yes, yes},
    {format::IQ2_XS, "IQ2_XS", 256, 74, yes, yes},
    {format::IQ3_XXS, "IQ3_XXS", 256, 98, yes, yes},
    {format::IQ1_S, "IQ1_S", 256, 50, yes, yes},
    {format::IQ4_NL, "IQ4_NL", 32, 18, yes, yes},
    {format::IQ3_S, "IQ3_S", 256, 110, yes, yes},
    {format::IQ2_S, "IQ2_S", 256, 82, yes, yes},
    {format::IQ4_XS, "IQ4_XS", 256, 136, yes, yes},
    {format::I8, "I8", 1, 1, no, no},
    {format::I16, "I16", 1, 2, no, no},
    {format::I32, "I32", 1, 4, no, no},
    {format::I64, "I64", 1, 8, no, no},
    {format::F64, "F64", 1, 8, no, no},
    {format::IQ1_M, "IQ1_M", 256, 56, yes, yes},
    {format::BF16, "BF16", 1, 2, yes, yes},
    {format::TQ1_0, "TQ1_0", 256, 54, yes, yes},
    {format::TQ2_0, "TQ2_0", 256, 66, yes, yes},
    {format::MXFP4, "MXFP4", 32, 17, yes, yes},
    {format::NVFP4, "NVFP4", 64, 36, yes, yes},
    {format::Q1_0, "Q1_0", 128, 18, yes, yes},
    {format::Q2_0, "Q2_0", 64, 18, yes, yes},
};

// The result of traits_of() for a value that is not a format (an invalid cast): nothing can be done with it.
constexpr format_traits unknown = {format::F32, "unknown", 1, 0, no, no};

// Format names are ASCII; the result must not depend on the locale.
constexpr char upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

bool same_name(const char* ours, const char* name, std::size_t length) noexcept {
  for (std::size_t i = 0; i < length; ++i) {
    if (ours[i] == '\0' || ours[i] != upper(name[i])) return false;
  }
  return ours[length] == '\0';
}

}  // namespace

span<const format_traits> all_formats() noexcept { return {table, sizeof table / sizeof table[0]}; }

std::vector<format> readable_formats() {
  std::vector<format> readable;
  for (const format_traits& traits : table) {
    if (traits.readable) readable.push_back(traits.id);
  }
  return readable;
}

const format_traits* find_format(std::uint32_t id) noexcept {
  for (const format_traits& traits : table) {
    if (static_cast<std::uint32_t>(traits.id) == id) return &traits;
  }
  return nullptr;
}

const format_traits* find_format(const char* name, std::size_t length) noexcept {
  for (const format_traits& traits : table) {
    if (same_name(traits.name, name, length)) return &traits;
  }
  return nullptr;
}

const format_traits& traits_of(format f) noexcept {
  const format_traits* traits = find_format(static_cast<std::uint32_t>(f));
  return traits != nullptr ? *traits : unknown;
}

std::uint64_t bytes_of(format f, std::uint64_t count) {
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  const format_traits& traits = traits_of(f);
  const std::uint64_t blocks = count / traits.block_weights + (count % traits.block_weights != 0 ? 1 : 0);
  if (traits.block_bytes != 0 && blocks > most / traits.block_bytes) {
    throw error(sqlstate::program_limit_exceeded, "too many weights for format " + std::string(traits.name),
                std::to_string(count) + " weights need more than 9223372036854775807 bytes.");
  }
  return blocks * traits.block_bytes;
}

}  // namespace hartonomous
