// Truncated singular value decomposition that keeps the outputs of a layer instead of its weights.
//
// A layer y = W x whose inputs have the Gram matrix G loses tr((W - W') G (W - W')ᵀ) of its outputs when W becomes W'.
// With any square root H = L Lᵀ of the damped Gram matrix, that is the squared Frobenius norm of (W - W') L. So the
// best W' of rank r is the truncated decomposition of W L, times the inverse of L, and the loss is the sum of squares
// of the singular values that are dropped. The product is decomposed once more, so that factors have the same form as
// those of truncated_svd().
//
// Source: Wang, Zheng, Wan, Zhang, SVD-LLM: truncation-aware singular value decomposition for large language model
// compression (2024).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/svd.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// Replaces `rows` rows of hessian.columns() numbers, W, by W L with L Lᵀ = H, so that sums of squares are energies of
// outputs: tr(W H Wᵀ). Here L is the inverse of the C of input_hessian.
void whiten(float* matrix, std::size_t rows, const input_hessian& hessian, thread_pool& pool,
            interrupt_checker& interrupts);

// Factors of a matrix of hessian.columns() columns. The energy of the request, and explained_variance of the result,
// are shares of the energy of the outputs. Does not depend on the number of threads.
//
// Errors: 22023 if the matrix has no rows or is not whole rows, or the energy is not positive; 22003 as
// truncated_svd().
svd_factors whitened_svd(span<const float> matrix, const input_hessian& hessian, const svd_request& request,
                         thread_pool& pool, interrupt_checker& interrupts);

// About the most memory in bytes that it takes, including its result but neither the matrix nor the Hessian.
std::uint64_t whitened_svd_work_bytes(std::size_t rows, std::size_t columns, const svd_request& request);

// All singular values of W L, descending, and its sum of squares. Errors as whitened_svd().
struct whitened_spectrum {
  std::vector<float> values;
  double energy = 0.0;
};
whitened_spectrum whitened_values(span<const float> matrix, const input_hessian& hessian, thread_pool& pool,
                                  interrupt_checker& interrupts);
std::uint64_t whitened_values_work_bytes(std::size_t rows, std::size_t columns);

// The root of tr(D G Dᵀ) / tr(W G Wᵀ), where D is the difference of a matrix W and factors, and G the Gram matrix
// without damping; 0 if both traces are 0, infinity if only the second is. (If all of G is zero, it stands for I.)
double output_error(span<const float> matrix, const factor_view& factors, const input_hessian& hessian,
                    thread_pool& pool, interrupt_checker& interrupts);

}  // namespace hartonomous
