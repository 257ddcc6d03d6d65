// Differences from a parent (lineage.hpp).
#include "archive/lineage.hpp"

#include "bytes/little_endian.hpp"

namespace hartonomous::archive {
namespace {

// Two odd numbers near 2^64 divided by the golden ratio and by the square root of 2.
constexpr std::uint64_t first_factor = 0x9E3779B97F4A7C15;
constexpr std::uint64_t second_factor = 0xB504F333F9DE6485;

std::uint64_t mixed(std::uint64_t hash, std::uint64_t value) {
  hash = (hash ^ value) * first_factor;
  return (hash << 29 | hash >> 35) * second_factor;
}

}  // namespace

bool descends(const atom_weights& atom, const atom_weights& parent) {
  return atom.id == parent.id && atom.count == parent.count && parent.blocks.size() == bytes_of(atom.id, atom.count);
}

std::uint64_t hash_of(std::uint64_t before, span<const std::byte> bytes) {
  const char* from = reinterpret_cast<const char*>(bytes.data());
  std::uint64_t hash = before;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) hash = mixed(hash, load_le<std::uint64_t>(from + at));
  for (; at < bytes.size(); ++at) hash = mixed(hash, std::to_integer<std::uint64_t>(bytes[at]));
  return hash;
}

std::uint64_t lineage_hash(span<const atom_weights> atoms, span<const atom_weights> parents) {
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < atoms.size(); ++i) {
    const bool has_parent = descends(atoms[i], parents[i]);
    hash = mixed(hash, has_parent ? 1 : 0);
    if (!has_parent) continue;
    hash = hash_of(hash, parents[i].blocks);
  }
  return hash;
}

void add_difference(const std::byte* parent, std::size_t bytes, std::byte* blocks) {
  for (std::size_t i = 0; i < bytes; ++i) blocks[i] ^= parent[i];
}

}  // namespace hartonomous::archive
