// Adding a product of two thin matrices to a matrix, as adapters of low rank do (Hu et al., LoRA, 2021).
#pragma once

#include <cstddef>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// weights (rows x columns) += scale * b (rows x rank) * a (rank x columns), all row-major. The product of a row is
// summed in order of the rank in F32, and then scaled and added; so the result depends neither on the number of threads
// nor on which rows are added together.
void add_low_rank(span<float> weights, span<const float> b, span<const float> a, std::size_t rank, float scale,
                  thread_pool& pool, interrupt_checker& interrupts);

}  // namespace hartonomous
