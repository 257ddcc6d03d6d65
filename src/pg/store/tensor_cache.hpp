// Tensors as floats that the session keeps for the next evaluation, within hartonomous.model_cache_size.
//
// A tensor is known by the versions of its rows (atom_reader::fingerprint_of), not by a model or a revision: whatever
// changes an atom, by whatever route, makes another tensor of it, and what was kept of the old one is never found
// again.
#pragma once

#include "pg/store/atom_reader.hpp"

#include <cstddef>
#include <cstdint>

#include "hartonomous/tensor_source.hpp"

namespace hartonomous::pg {

// Some rows of a tensor.
struct tensor_key {
  std::int64_t layer;
  atom_layout layout;
  row_range rows;
  atom_reader::fingerprint state;
};

class tensor_cache {
 public:
  // To be called first by every function that uses the cache. What it finds or keeps from then on stays until the next
  // one begins: a model larger than the cache keeps a part of itself there instead of chasing it through.
  static void begin_call() noexcept;
  // Whether so many rows can be there at all: those that are not larger than the cache.
  static bool may_hold(const atom_layout& layout, std::uint64_t rows) noexcept;
  // nullptr when it is not there.
  static const float* find(const tensor_key& key) noexcept;
  // Room for a tensor that is about to be read; nullptr when there is none. Is found after complete() only.
  static float* reserve(const tensor_key& key);
  static void complete(const tensor_key& key) noexcept;
  // Gives tensors up, least recently used first, until no more than that many bytes are kept. Returns the bytes freed.
  static std::uint64_t shrink(std::uint64_t bytes) noexcept;
  static std::uint64_t bytes() noexcept;
};

}  // namespace hartonomous::pg
