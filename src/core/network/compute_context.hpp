// The resources of all parts of a network: its weights, a panel of rows at a time, the thread pool, and the observers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/hyperparameters.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/tensor_source.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::network_detail {

class compute_context {
 public:
  compute_context(tensor_source& source, unsigned threads, std::uint64_t panel_bytes, interrupt_checker& interrupts)
      : source_(source), threads_(threads), panel_bytes_(panel_bytes), interrupts_(interrupts) {}

  tensor_source& source() noexcept { return source_; }
  thread_pool& threads() noexcept { return threads_; }
  const thread_pool& threads() const noexcept { return threads_; }
  interrupt_checker& interrupts() noexcept { return interrupts_; }
  std::uint64_t panel_bytes() const noexcept { return panel_bytes_; }
  linear_observer* observer() const noexcept { return observer_; }
  void observe(linear_observer* observer) noexcept { observer_ = observer; }
  void watch(std::function<void(double)> watcher) { watcher_ = std::move(watcher); }

  // How many rows of that many columns are in memory at a time.
  std::size_t panel_rows(std::uint64_t columns) const noexcept;
  std::vector<float> vector_of(const std::string& tensor);

  // Calls task(from, to) on the thread pool for ranges of `count` items of `floats_each` floats each.
  void for_runs(std::size_t count, std::size_t floats_each, const std::function<void(std::size_t, std::size_t)>& task);

  // y = W x + b, tokens x rows, for the tensors name.weight and, if it exists, name.bias.
  void linear(const std::string& name, const float* x, std::size_t tokens, std::size_t columns, float* y,
              std::size_t rows);
  // y = W x, tokens x rows.count, for some rows of a matrix.
  void multiply_rows(const std::string& matrix, row_range rows, const float* x, std::size_t tokens, std::size_t columns,
                     float* y);
  // The product with a panel of rows, written to columns of y, which is `stride` wide.
  void multiply_panel(const float* x, std::size_t tokens, std::size_t columns, const float* panel, std::size_t rows,
                      float* y, std::size_t stride);
  // x += y W, tokens x columns, with y tokens x rows: the gradient of what a matrix was multiplied with. Sums begin
  // anew after the same rows whatever the size of panels.
  void add_transposed_product(const std::string& matrix, const float* y, std::size_t tokens, std::size_t rows, float* x,
                              std::size_t columns);
  // The same for a panel of rows, whose columns of y, which is `stride` wide, begin at `y`.
  void add_transposed_panel(const float* y, std::size_t stride, std::size_t tokens, const float* panel,
                            std::size_t rows, std::size_t columns, float* x);
  // Rows of such a panel: a multiple of those that are summed at a time.
  std::size_t transposed_panel_rows(std::uint64_t columns) const noexcept;
  // The norm of each row of the residual stream or as wide: RMSNorm times name.weight, or LayerNorm, plus name.bias;
  // out may be x.
  void normalize(const std::string& name, const hyperparameters& config, const float* x, std::size_t rows, float* out);
  // y += a row of a matrix of biases, tokens x columns.
  void add_bias(const std::string& tensor, std::uint64_t row, float* y, std::size_t tokens, std::size_t columns);
  // RMSNorm of each row, times the vector `weight`; out may be x.
  void normalize_rows(const std::string& weight, float epsilon, const float* x, std::size_t rows, std::size_t columns,
                      float* out);

 private:
  tensor_source& source_;
  thread_pool threads_;
  std::uint64_t panel_bytes_;
  interrupt_checker& interrupts_;
  linear_observer* observer_ = nullptr;
  std::function<void(double)> watcher_;
};

}  // namespace hartonomous::network_detail
