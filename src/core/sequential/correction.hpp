// The correction of weights that follows from sums over tokens (inside src/core/sequential only).
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/sequential_quantizer.hpp"
#include "hartonomous/thread_pool.hpp"
#include "linear_algebra/token_sums.hpp"

namespace hartonomous::sequential_detail {

// A row-major matrix of floats.
struct float_matrix {
  std::size_t rows = 0, columns = 0;
  std::vector<float> values;
};

float_matrix floats_of(const token_sums& sums, std::size_t rows, std::size_t columns, interrupt_checker& interrupts);

// What matrices with the same input share.
class input_correction {
 public:
  // `x` is the input in the rounded network, `exact` that in the original one, both tokens x columns. Without the
  // latter (nullptr) nothing is corrected. Error 55000, which names the tensor, if the input is not finite.
  input_correction(const std::string& tensor, const float* x, const float* exact, std::size_t columns,
                   std::size_t tokens, const sequential_options& options, thread_pool& pool,
                   interrupt_checker& interrupts);

  const input_hessian& hessian() const noexcept { return *hessian_; }
  const correction_shares& shares() const noexcept { return shares_; }
  // Corrects some rows of a matrix. `streams`, if not null, is the sum of r x_qᵀ for these rows.
  void apply(std::vector<float>& weights, const float_matrix* streams, thread_pool& pool,
             interrupt_checker& interrupts) const;

 private:
  std::unique_ptr<input_hessian> hessian_;
  double scale_ = 0.0;  // of the Hessian, which has a mean diagonal of 1
  correction_shares shares_;
  float_matrix difference_;  // sum of (x - x_q) x_qᵀ; empty if nothing is corrected
};

}  // namespace hartonomous::sequential_detail
