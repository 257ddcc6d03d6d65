// Atoms that several chunks have in common (hartonomous/archive.hpp).
#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "archive/lineage.hpp"
#include "hartonomous/archive.hpp"

namespace hartonomous {

using namespace archive;

namespace {

constexpr std::size_t signature_size = 8;
constexpr std::size_t step_bytes = std::size_t{1} << 22;  // hashed between checks for interrupts

std::uint64_t hash_of_atom(const atom_weights& atom) {
  return hash_of(static_cast<std::uint64_t>(atom.id) << 32 | atom.count, atom.blocks);
}

std::vector<std::uint64_t> hashes_of(span<const atom_weights> atoms, interrupt_checker& interrupts) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(atoms.size());
  std::size_t hashed = step_bytes;
  for (const atom_weights& atom : atoms) {
    if (hashed >= step_bytes) {
      interrupts.check();
      hashed = 0;
    }
    hashes.push_back(hash_of_atom(atom));
    hashed += atom.blocks.size() + 64;
  }
  return hashes;
}

bool are_same(const atom_weights& a, const atom_weights& b) {
  return a.id == b.id && a.count == b.count && a.blocks.size() == b.blocks.size() &&
         (a.blocks.empty() || std::memcmp(a.blocks.data(), b.blocks.data(), a.blocks.size()) == 0);
}

}  // namespace

std::vector<std::int64_t> sharing_signature(span<const atom_weights> atoms, interrupt_checker& interrupts) {
  const std::vector<std::uint64_t> hashes = hashes_of(atoms, interrupts);
  std::vector<std::int64_t> smallest(hashes.begin(), hashes.end());
  std::sort(smallest.begin(), smallest.end());
  smallest.erase(std::unique(smallest.begin(), smallest.end()), smallest.end());
  smallest.resize(std::min(smallest.size(), signature_size));
  return smallest;
}

std::vector<std::int32_t> find_atoms(span<const atom_weights> wanted, span<const atom_weights> stored,
                                     interrupt_checker& interrupts) {
  const std::vector<std::uint64_t> hashes = hashes_of(stored, interrupts);
  std::unordered_map<std::uint64_t, std::size_t> known;  // the first of each hash
  known.reserve(hashes.size());
  for (std::size_t i = 0; i < hashes.size(); ++i) known.try_emplace(hashes[i], i);

  std::vector<std::int32_t> found(wanted.size(), -1);
  std::size_t next = 0;
  std::size_t compared = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if ((compared += wanted[i].blocks.size() + 64) >= step_bytes) {
      interrupts.check();
      compared = 0;
    }
    std::size_t at = next;
    if (at >= stored.size() || !are_same(wanted[i], stored[at])) {
      const auto same_hash = known.find(hash_of_atom(wanted[i]));
      if (same_hash == known.end() || !are_same(wanted[i], stored[same_hash->second])) continue;
      at = same_hash->second;
    }
    found[i] = static_cast<std::int32_t>(at);
    next = at + 1;
  }
  return found;
}

}  // namespace hartonomous
