// A batch of rows, one in each lane of two vectors, and the steps that quantize it (*-inl.hpp).
//
// Number `lane` of column k is at [k * stride + lane] in every array: the same column of all rows lies together, and
// numbers of H and C are broadcast. A step works on one panel of columns and takes a few milliseconds.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hessian/grid.hpp"

namespace hartonomous::hessian_detail {

// What all batches of a matrix share.
struct problem {
  const grid& levels;
  const input_hessian& hessian;
  input_hessian::block_factors blocks;  // of sub-blocks
  bool reversed;                        // whether column k is the last but k of the rows
};

struct batch {
  using floats = hwy::AlignedFreeUniquePtr<float[]>;

  std::size_t columns, stride;
  floats original;  // the weights
  // First the weights with the errors of the columns before them fed back; then H (W - Q).
  floats residual;
  hwy::AlignedFreeUniquePtr<std::int8_t[]> levels;
  floats scales, minima;  // of sub-blocks: integers
  floats d, dmin;         // of blocks, rounded to half precision
  floats present;         // of blocks: 0 for those that are missing, otherwise 1
  floats work;            // panel_arrays arrays of a panel each
  bool moved = true;      // whether the last sweep has changed anything

  static constexpr std::size_t panel_arrays = 7;
  batch(const grid& with, std::size_t all_columns, std::size_t lanes);
  static std::size_t bytes(std::size_t columns, std::size_t stride) noexcept;

  float* panel_array(std::size_t i) noexcept { return work.get() + i * input_hessian::panel_columns * stride; }
};

// The steps, compiled for an instruction set. Each works on one panel.
struct kernels {
  std::size_t stride;  // rows of a batch
  // Chooses scales, quantizes, and feeds errors back into all later columns.
  void (*feed_back)(const problem& with, batch& rows, std::size_t panel);
  // Adds the panel's part of H (W - Q) to the residual, which must be zero before the first panel.
  void (*add_residual)(const problem& with, batch& rows, std::size_t panel);
  // Improves the sub-blocks of the panel in turn, then the scales of its blocks. Sets `moved` if anything changes.
  void (*improve)(const problem& with, batch& rows, std::size_t panel);
  // Values of the chosen levels, into `out` (as `original`).
  void (*reconstruct)(const problem& with, const batch& rows, std::size_t panel, float* out);
};

// For the instruction set in use (kernels.cpp), and portable code for comparison (portable.cpp).
const kernels& best_kernels();
const kernels& portable_kernels();

}  // namespace hartonomous::hessian_detail
