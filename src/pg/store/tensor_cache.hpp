// Caches tensors as floats for later evaluations in the same session, within hartonomous.model_cache_size.
//
// The key of a tensor contains its row versions (atom_reader::fingerprint_of) instead of a model and a revision. Any
// change of an atom, however it is made, changes the key, so that an outdated tensor is never found.
#pragma once

#include "pg/store/atom_reader.hpp"

#include <cstddef>
#include <cstdint>

#include "hartonomous/tensor_source.hpp"

namespace hartonomous::pg {

// A range of rows of a tensor.
struct tensor_key {
  std::int64_t layer;
  atom_layout layout;
  row_range rows;
  atom_reader::fingerprint state;
};

class tensor_cache {
 public:
  // Must be called first by every function that uses the cache. Tensors that are found or added after that are not
  // evicted before the next call begins. So a part of a model that is larger than the cache stays cached, whereas plain
  // LRU would evict every tensor before its next use.
  static void begin_call() noexcept;
  // Whether that many rows fit into the cache at all.
  static bool may_hold(const atom_layout& layout, std::uint64_t rows) noexcept;
  // nullptr if it is not cached.
  static const float* find(const tensor_key& key) noexcept;
  // Reserves memory for a tensor that is about to be read; nullptr if there is none. It is found after complete() only.
  static float* reserve(const tensor_key& key);
  static void complete(const tensor_key& key) noexcept;
  // Evicts tensors, least recently used first, until at most that many bytes are cached. Returns the bytes freed.
  static std::uint64_t shrink(std::uint64_t bytes) noexcept;
  static std::uint64_t bytes() noexcept;
};

}  // namespace hartonomous::pg
