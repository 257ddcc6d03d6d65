// Archived columns: the values of one column of a run of atoms as a chunk of bytes that is smaller, lossless to the
// bit.
//
// A chunk describes itself: its version, what it holds, how many values, and a checksum over all of it. Numbers are
// split into byte planes (all first bytes, then all second bytes, and so on), each of which is coded by the entropy of
// its bytes; a plane of equal bytes takes next to nothing, a random one is stored as it is. Before that:
//
//   integers   each becomes the difference from the one before it
//   reals      rotated by one bit, so that the exponent is a byte of its own and the sign lies beside the mantissa.
//              Trained weights, like normal ones, have 2.6 bits of information in the exponent and none to spare
//              elsewhere (Hershcovitch et al., "ZipNN: Lossless Compression for AI Models", 2024)
//   F32        that are BF16 or F16 without exception become that first
//   texts      each distinct one once, and their numbers as integers
//
// Blocks of quantized formats are coded as bytes. Decoding trusts nothing: error XX001 if a chunk is not one, is
// damaged, or is of another kind than is asked for; 0A000 if a later version wrote it; 54000 if its contents,
// uncompressed, would have more than `most_bytes`, which bounds what is allocated. (What is returned takes at most
// sixteen times as much, and usually as much.) The same values always give the same chunk with the same version of
// libzstd.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous {

using archive_chunk = std::vector<std::byte>;

// The most values of one chunk, and the most bytes that they may have. Error 54000 beyond them.
inline constexpr std::size_t most_archived_values = std::size_t{1} << 24;
inline constexpr std::size_t most_archived_bytes = std::size_t{1} << 30;

// In all functions `present` has a byte for each value, 0 for those that are NULL; empty if none is.

struct archived_integers {
  std::vector<std::int64_t> values;  // 0 for NULL
  std::vector<std::uint8_t> present;
};
archive_chunk archive_integers(span<const std::int64_t> values, span<const std::uint8_t> present,
                               interrupt_checker& interrupts);
archived_integers read_archived_integers(span<const std::byte> chunk, std::size_t most_bytes,
                                         interrupt_checker& interrupts);

struct archived_reals {
  std::vector<float> values;  // 0 for NULL
  std::vector<std::uint8_t> present;
};
archive_chunk archive_reals(span<const float> values, span<const std::uint8_t> present, interrupt_checker& interrupts);
archived_reals read_archived_reals(span<const std::byte> chunk, std::size_t most_bytes, interrupt_checker& interrupts);

// Of the values of a column that are not NULL: their number, mean, sum of squared distances from it, and extremes (in
// PostgreSQL's order, where NaN is greater than all other numbers).
struct reals_summary {
  std::uint64_t count = 0;
  double mean = 0.0, squares = 0.0;
  float least = 0.0F, greatest = 0.0F;
};
reals_summary summary_of(const archived_reals& column) noexcept;

// Texts or any other bytes.
struct archived_texts {
  std::vector<std::string_view> distinct;  // of `bytes`, in the order in which they occur first
  std::vector<std::uint32_t> index;        // of each value; 0 for NULL
  std::vector<std::uint8_t> present;
  std::vector<char> bytes;
};
archive_chunk archive_texts(span<const std::string_view> values, span<const std::uint8_t> present,
                            interrupt_checker& interrupts);
archived_texts read_archived_texts(span<const std::byte> chunk, std::size_t most_bytes, interrupt_checker& interrupts);

// The weights of an atom: bytes_of(id, count) bytes of blocks.
struct atom_weights {
  format id;
  std::uint32_t count;
  span<const std::byte> blocks;
};
struct archived_weights {
  std::vector<atom_weights> atoms;  // views of `blocks`
  std::vector<std::byte> blocks;
};

// `parents` is empty or has for each atom the one it descends from, or an atom without blocks. Atoms of the same format
// and length as their parents are written as the bits that differ, if the chunk is smaller so. To read it, exactly the
// same parents are needed: error 22023 if they are missing, XX001 if they are not the same (a hash of them is kept).
archive_chunk archive_weights(span<const atom_weights> atoms, span<const atom_weights> parents,
                              interrupt_checker& interrupts);
archived_weights read_archived_weights(span<const std::byte> chunk, span<const atom_weights> parents,
                                       std::size_t most_bytes, interrupt_checker& interrupts);

// ---- sharing ----------------------------------------------------------------------------------------------------

// Numbers by which sets of atoms that have many in common are found: hashes of the atoms of which each set keeps the
// smallest (min-wise hashing: Broder, "On the Resemblance and Containment of Documents", 1997). If a set has the share
// s of the atoms of another one, they have a number in common with a probability of at least 1 - (1 - s)^8. The order
// of atoms, and how often each occurs, play no part. Ascending; at most eight.
std::vector<std::int64_t> sharing_signature(span<const atom_weights> atoms, interrupt_checker& interrupts);

// For each of `wanted` the index in `stored` of an atom of the same format, length and bits; -1 if there is none.
// Successors of those found before are preferred, so that runs of atoms stay runs.
std::vector<std::int32_t> find_atoms(span<const atom_weights> wanted, span<const atom_weights> stored,
                                     interrupt_checker& interrupts);

}  // namespace hartonomous
