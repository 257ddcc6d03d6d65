// Structured pruning: taking rows and columns out of matrices, so that their dimensions shrink.
//
// What is kept of a matrix is given by the numbers of its rows and columns. Whole weight blocks are copied as they are;
// only where the columns that are kept cut through blocks are weights decoded and encoded again.
//
// Source of the refit: the least-squares reconstruction of pruned layers (Hassibi & Stork 1993; for transformers
// Frantar & Alistarh 2023).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// Raises 22023 unless the numbers of the kept rows or columns (`what`) are one or more, ascending, from 0, and below
// `of`.
void check_kept(span<const std::int32_t> kept, std::uint64_t of, const char* what);

// A run of a row's weights as it is stored: `count` weights from column `first` on. The blocks must outlive it.
struct stored_run {
  format storage;
  std::uint64_t first, count;
  span<const std::byte> blocks;
};

// Copies columns of one row of a matrix. The runs are ascending and do not overlap; columns in no run are zeros.
class column_copier {
 public:
  column_copier(span<const stored_run> row, std::uint64_t row_length) : row_(row), row_length_(row_length) {}

  // The run of the first of the columns that is stored; nullptr if none is.
  const stored_run* source_of(span<const std::uint32_t> columns) const noexcept;
  // Writes the columns, in this order, to `out` as blocks of f: bytes_of(f, columns.size()) bytes. Errors: 0A000 if
  // weights have to be decoded or encoded whose format cannot be, and those of quantize().
  void copy(span<const std::uint32_t> columns, format f, std::byte* out, interrupt_checker& interrupts);
  // The whole row as floats.
  const std::vector<float>& values(interrupt_checker& interrupts);

 private:
  const stored_run* run_of(std::uint64_t column) const noexcept;
  std::size_t copy_blocks(span<const std::uint32_t> columns, format f, std::byte* out) const;

  span<const stored_run> row_;
  std::uint64_t row_length_;
  std::vector<float> values_;  // decoded when first needed
};

// Changes the kept columns of a matrix W such that its product with its inputs changes least when the other columns are
// removed: W_K <- W H_{:,K} H_KK^-1, where H = G + damping * mean(diag G) * I and G is the Gram matrix of the inputs.
class column_refit {
 public:
  // `gram` is the upper triangle of the n x n matrix, row after row, each from the diagonal on; `kept` is ascending.
  // Takes bytes() of memory. Errors: 22023 if the damping is not finite and above 0; 22003 if the Gram matrix has
  // values that are not finite, or is not positive semidefinite.
  column_refit(span<const float> gram, std::size_t n, span<const std::uint32_t> kept, double damping, thread_pool& pool,
               interrupt_checker& interrupts);
  static std::uint64_t bytes(std::uint64_t n, std::uint64_t kept) noexcept;

  // Reads `rows` rows of n weights, and writes as many rows of the kept columns. The caller must hold a thread_pool.
  void apply(const float* weights, std::size_t rows, float* out) const;

 private:
  std::size_t n_;
  std::vector<std::uint32_t> kept_, dropped_;
  std::vector<float> transfer_;  // dropped x kept: what a kept column receives of a dropped one
};

}  // namespace hartonomous
