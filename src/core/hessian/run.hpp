// The quantizer with its instruction set as an argument, for quantize_rows() and its tests.
#pragma once

#include "hartonomous/hessian.hpp"
#include "hessian/batch.hpp"

namespace hartonomous::hessian_detail {

// quantize_rows() for a format with a grid, without its checks. `reconstruction` is null, or gets the values that the
// quantizer takes the blocks to mean.
double run(const kernels& steps, const grid& levels, const input_hessian& hessian, span<const float> weights,
           std::size_t rows, const hessian_options& options, std::byte* out, float* reconstruction, thread_pool& pool,
           interrupt_checker& interrupts);

}  // namespace hartonomous::hessian_detail
