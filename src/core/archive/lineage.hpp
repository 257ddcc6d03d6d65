// Weights as what differs from those of a parent, bit by bit: where a model was changed a little, signs, exponents and
// upper bits of mantissas are the parent's, and become zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/archive.hpp"
#include "hartonomous/span.hpp"

namespace hartonomous::archive {

// Whether the atom is written as a difference: its parent has the same format and as many weights.
bool descends(const atom_weights& atom, const atom_weights& parent);

// A hash of bytes after those hashed before. It finds mistakes, not forgeries.
std::uint64_t hash_of(std::uint64_t before, span<const std::byte> bytes);

// A hash of the parents from which atoms descend, and of which atoms do.
std::uint64_t lineage_hash(span<const atom_weights> atoms, span<const atom_weights> parents);

// blocks ^= parent's, of as many bytes.
void add_difference(const std::byte* parent, std::size_t bytes, std::byte* blocks);

}  // namespace hartonomous::archive
