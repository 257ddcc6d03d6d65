// Quantizing the rows of a matrix against the Hessian of its input, inside ggml's number formats.
//
// A linear layer y = W x loses tr((W - Q) H (W - Q)ᵀ) when W becomes Q, where H = sum of x xᵀ over calibration tokens.
// Rounding each weight to the nearest level ignores that errors of correlated inputs can cancel. Here every rounding
// error is fed back into the weights that follow (Frantar, Ashkboos, Hoefler, Alistarh, GPTQ, 2023), the scales of a
// block are chosen when its turn comes, and then sub-blocks are improved in turn against what all others left over.
// Rows that are not very long are quantized from both ends, and the better result is taken.
// The result consists of ordinary blocks, which any reader of the format decodes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "hartonomous/format.hpp"
#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// H = G + damping * mean(diag G) * I, divided by its mean diagonal, and the upper triangular C with H⁻¹ = CᵀC, both in
// float. The matrices are computed in double. If all of G is zero, H = I.
class input_hessian {
 public:
  // Writes row `row` of the upper triangle of G, from the diagonal on: columns - row numbers.
  using row_reader = std::function<void(std::size_t row, double* out)>;

  // Calls `gram` for rows 0, 1, ... in turn, on the calling thread; once more from row 0 on if the damped matrix is not
  // positive definite, which then is damped ten times as much, up to `damping` times 1000.
  //
  // Errors: 22023 if there are no columns, the damping is not in (0, 1], G has NaN, infinity or a negative number on
  // the diagonal (rows and columns are counted from 1), or is not positive definite however much it is damped.
  input_hessian(std::size_t columns, const row_reader& gram, double damping, thread_pool& pool,
                interrupt_checker& interrupts);

  std::size_t columns() const noexcept { return columns_; }
  // As used: larger than wanted if the matrix was not positive definite.
  double damping() const noexcept { return damping_; }

  // Up to this many columns, the object also has the matrices for the reverse order. In longer rows the losses of both
  // orders differ too little: they are averages over more blocks.
  static constexpr std::size_t most_columns_of_both_orders = 1024;

  // Memory in bytes of the object, and the most that making it takes.
  static std::uint64_t bytes(std::size_t columns) noexcept;
  static std::uint64_t work_bytes(std::size_t columns) noexcept;

  // ---- for quantize_rows() ---------------------------------------------------------------------------------------

  static constexpr std::size_t panel_columns = 256;

  // The same H with rows and columns in reverse order, or nullptr.
  const input_hessian* reversed() const noexcept { return reversed_.get(); }

  std::size_t panels() const noexcept { return (columns_ + panel_columns - 1) / panel_columns; }
  std::size_t panel_width(std::size_t panel) const noexcept;
  // Columns of H from 256 * panel on, all rows; a row has panel_width() numbers.
  const float* hessian_panel(std::size_t panel) const noexcept { return &hessian_[panel * panel_columns * columns_]; }
  // Rows of C from 256 * panel on, transposed: row j has C[256 * panel + i][256 * panel + j] for i < panel_width(),
  // with zeros below the diagonal of C.
  const float* factor_panel(std::size_t panel) const noexcept { return &factor_[factor_offset(panel)]; }
  const float* factor_reciprocals() const noexcept { return factor_reciprocals_.data(); }  // 1 / C[k][k]
  const float* importance() const noexcept { return importance_.data(); }                  // 1 / C[k][k]²

  // The same factor of each diagonal block of H of `size` columns: size * size numbers each, transposed, and the
  // reciprocals of its diagonal.
  struct block_factors {
    std::vector<float> factors, reciprocals;
  };
  block_factors factors_of_blocks(std::size_t size, interrupt_checker& interrupts) const;

 private:
  input_hessian(const input_hessian& in_order, thread_pool& pool, interrupt_checker& interrupts);

  std::size_t factor_offset(std::size_t panel) const noexcept;
  float entry(std::size_t row, std::size_t column) const noexcept;
  void factor(const row_reader& matrix, bool keep_hessian, thread_pool& pool, interrupt_checker& interrupts);

  std::size_t columns_;
  double damping_;
  std::vector<float> hessian_, factor_;
  std::vector<float> factor_reciprocals_, importance_;
  std::unique_ptr<const input_hessian> reversed_;
};

// The defaults are measured (bench/hessian.sh).
struct hessian_options {
  unsigned sweeps = 5;  // of improvement after the first pass; fewer if nothing changes any more
  // Empty, or one byte for each block of each row: those that are not 0 are missing. Their weights must be zero and
  // stay zero, and the other weights of the row make up for that, too.
  span<const std::uint8_t> missing = {};
  std::size_t first_row = 0;  // of the matrix, if these are some of its rows: for messages
};

// Encodes `rows` rows of hessian.columns() weights; `out` has room for rows * bytes_of(f, columns) bytes. Formats in
// which a weight has no choice but the nearest level (F16, BF16, F32), and those whose weights are not rounded one by
// one (IQ1, IQ2, IQ3), are encoded by quantize() with the diagonal of H as importance.
//
// Returns the loss tr((W - Q) H (W - Q)ᵀ), as the quantizer has followed it; that of a format encoded by quantize() is
// computed from its blocks. Neither bytes nor loss depend on the number of threads or the instruction set.
//
// Errors: 0A000 if the format is not writable; 22023 if weights.size() is not rows * columns or a row is not a whole
// number of blocks, or `missing` has another size; 22003 as quantize() (rows and columns are counted from 1).
double quantize_rows(format f, span<const float> weights, std::size_t rows, const input_hessian& hessian,
                     const hessian_options& options, std::byte* out, thread_pool& pool, interrupt_checker& interrupts);

// About the most memory in bytes that quantize_rows() takes beside its arguments.
std::uint64_t quantize_rows_work_bytes(std::size_t rows, std::size_t columns) noexcept;

// tr(M H Mᵀ) for `rows` rows of hessian.columns() numbers: of a difference it is the loss, of the weights themselves
// what the loss is relative to.
double hessian_energy(span<const float> matrix, std::size_t rows, const input_hessian& hessian, thread_pool& pool,
                      interrupt_checker& interrupts);

// The same, so that the rows share their errors, too: against tr(A (W - Q) H (W - Q)ᵀ), where A = sum of g gᵀ over the
// gradients g of a loss by the outputs of the matrix; `outputs` is made of A as `hessian` is of the inputs' Gram
// matrix, and has as many columns as there are rows. The error of a row is made good by the rows that follow, as far as
// A allows (the rule of quantize_rows() for columns, with A in place of H), `rows_at_once` of them at a time; then,
// row_sweeps times, each row is quantized again against the errors of all others, and kept where the loss falls.
// (Kronecker factors: Martens and Grosse 2015, "K-FAC"; two-sided feedback: Tseng et al. 2025, "YAQA".)
//
// Blocks do not depend on the number of threads. Formats without a choice are encoded as by quantize_rows(). Errors: as
// quantize_rows(); 22023 if `outputs` has another size.
struct two_sided_options {
  unsigned row_sweeps = 2;
  std::size_t rows_at_once = 64;  // a divisor of input_hessian::panel_columns
};
void quantize_rows_two_sided(format f, span<const float> weights, const input_hessian& hessian,
                             const input_hessian& outputs, const hessian_options& options,
                             const two_sided_options& sides, std::byte* out, thread_pool& pool,
                             interrupt_checker& interrupts);

// About the most memory in bytes that it takes beside its arguments.
std::uint64_t two_sided_work_bytes(std::size_t rows, std::size_t columns) noexcept;

}  // namespace hartonomous
