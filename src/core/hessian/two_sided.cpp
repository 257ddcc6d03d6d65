// quantize_rows_two_sided(): which weights quantize_rows() is given, and which of its results are kept
// (hartonomous/hessian.hpp).
//
// With E = W - Q, the loss as a function of row i is A_ii times (E_i + s_i) H (E_i + s_i)ᵀ and a constant, where
// s_i = (sum over the other rows k of A_ik E_k) / A_ii: the best row is the one closest under H to W_i + s_i.
#include <algorithm>
#include <cstring>
#include <string>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/hessian.hpp"
#include "hessian/grid.hpp"
#include "linear_algebra/sgemm.hpp"

namespace hartonomous {
namespace {

constexpr std::size_t panel = input_hessian::panel_columns;
// Columns of a task.
constexpr std::size_t columns_at_once = 256;

class coupled_rows {
 public:
  coupled_rows(format f, span<const float> weights, const input_hessian& hessian, const input_hessian& outputs,
               const hessian_options& options, std::size_t most, std::byte* out, thread_pool& pool,
               interrupt_checker& interrupts)
      : f_(f),
        weights_(weights),
        hessian_(hessian),
        outputs_(outputs),
        options_(options),
        columns_(hessian.columns()),
        rows_(outputs.columns()),
        row_bytes_(static_cast<std::size_t>(bytes_of(f, columns_))),
        out_(out),
        pool_(pool),
        interrupts_(interrupts),
        errors_(weights.begin(), weights.end()),
        wanted_(most * columns_),
        found_(most * columns_),
        work_(most * columns_),
        blocks_(most * row_bytes_) {}

  void feed_back(std::size_t most);
  void sweep(std::size_t most);

 private:
  // Quantizes wanted_, which stands for rows from `first` on; found_ gets what the blocks mean.
  void quantize_wanted(std::size_t first, std::size_t count);
  void for_columns(const std::function<void(std::size_t from, std::size_t count)>& task);
  // wanted_ = the sums over all rows of A_ik E_k.
  void sum_errors(std::size_t first, std::size_t count);
  void keep_better(std::size_t first, std::size_t count);
  const float* coupling(std::size_t row, std::size_t other) const {  // A, of rows in one panel by all others
    const std::size_t p = row / panel;
    return outputs_.hessian_panel(p) + other * outputs_.panel_width(p) + row % panel;
  }

  format f_;
  span<const float> weights_;
  const input_hessian& hessian_;
  const input_hessian& outputs_;
  const hessian_options& options_;
  std::size_t columns_, rows_, row_bytes_;
  std::byte* out_;
  thread_pool& pool_;
  interrupt_checker& interrupts_;
  std::vector<float> errors_;  // first the weights that are wanted; of rows that have been quantized, W - Q
  std::vector<float> wanted_, found_, work_;
  std::vector<std::byte> blocks_;
};

void coupled_rows::quantize_wanted(std::size_t first, std::size_t count) {
  hessian_options options = options_;
  options.first_row += first;
  if (!options_.missing.empty()) {
    const std::size_t of_row = options_.missing.size() / rows_;
    options.missing = options_.missing.subspan(first * of_row, count * of_row);
  }
  quantize_rows(f_, {wanted_.data(), count * columns_}, count, hessian_, options, blocks_.data(), pool_, interrupts_);
  pool_.run(count, interrupts_, [&](std::size_t i) {
    no_interrupts none;
    dequantize(f_, {blocks_.data() + i * row_bytes_, row_bytes_}, columns_, found_.data() + i * columns_, none);
  });
}

void coupled_rows::for_columns(const std::function<void(std::size_t from, std::size_t count)>& task) {
  pool_.run((columns_ + columns_at_once - 1) / columns_at_once, interrupts_, [&](std::size_t i) {
    const std::size_t from = i * columns_at_once;
    task(from, std::min(columns_at_once, columns_ - from));
  });
}

void coupled_rows::feed_back(std::size_t most) {
  for (std::size_t first = 0; first < rows_; first += most) {
    const std::size_t count = std::min(most, rows_ - first), p = first / panel, width = outputs_.panel_width(p);
    float* const errors = errors_.data() + first * columns_;
    std::copy_n(errors, count * columns_, wanted_.data());
    quantize_wanted(first, count);
    std::memcpy(out_ + first * row_bytes_, blocks_.data(), count * row_bytes_);
    const float* const factor = outputs_.factor_panel(p);  // transposed
    for_columns([&](std::size_t from, std::size_t columns) {
      for (std::size_t i = 0; i < count; ++i) {
        float* const error = work_.data() + i * columns_ + from;
        const float* const wanted = wanted_.data() + i * columns_ + from;
        const float* const found = found_.data() + i * columns_ + from;
        const float reciprocal = outputs_.factor_reciprocals()[first + i];
        for (std::size_t k = 0; k < columns; ++k) error[k] = (found[k] - wanted[k]) * reciprocal;
        // The rows of this batch have been chosen already; what is left over of their errors goes to later ones.
        for (std::size_t j = i + 1; j < count; ++j) {
          const float c = factor[(first % panel + j) * width + first % panel + i];
          float* const later = wanted_.data() + j * columns_ + from;
          for (std::size_t k = 0; k < columns; ++k) later[k] += c * error[k];
        }
        const float* const weights = weights_.data() + (first + i) * columns_ + from;
        for (std::size_t k = 0; k < columns; ++k) errors[i * columns_ + from + k] = weights[k] - found[k];
      }
    });
    const std::size_t begin = first + count, tiles = (rows_ - begin + panel - 1) / panel;
    const std::size_t column_tiles = (columns_ + columns_at_once - 1) / columns_at_once;
    pool_.run(tiles * column_tiles, interrupts_, [&](std::size_t task) {
      const std::size_t row = begin + task / column_tiles * panel, from = task % column_tiles * columns_at_once;
      const matrix_view c = {factor + (row - p * panel) * width + first % panel, std::min(panel, rows_ - row), count,
                             width};
      add_product(c, {work_.data() + from, count, std::min(columns_at_once, columns_ - from), columns_},
                  errors_.data() + row * columns_ + from, columns_);
    });
  }
}

void coupled_rows::sum_errors(std::size_t first, std::size_t count) {
  const std::size_t width = outputs_.panel_width(first / panel);
  std::fill_n(wanted_.begin(), count * columns_, 0.0f);
  for_columns([&](std::size_t from, std::size_t columns) {
    for (std::size_t k = 0; k < rows_; k += panel) {
      const std::size_t height = std::min(panel, rows_ - k);
      add_product_from_transposed({coupling(first, k), height, count, width},
                                  {errors_.data() + k * columns_ + from, height, columns, columns_},
                                  wanted_.data() + from, columns_);
    }
    for (std::size_t i = 0; i < count; ++i) {
      const float diagonal = *coupling(first + i, first + i);
      float* const sum = wanted_.data() + i * columns_ + from;
      const float* const error = errors_.data() + (first + i) * columns_ + from;
      for (std::size_t k = 0; k < columns; ++k) sum[k] -= diagonal * error[k];
    }
  });
}

// The change d of a row's errors changes the loss by A_ii d H (d + 2 (E_i + s_i))ᵀ. Rows are decided in order, each
// with the changes of those before it.
void coupled_rows::keep_better(std::size_t first, std::size_t count) {
  std::vector<float> products(count * columns_);
  for (std::size_t i = 0; i < count; ++i) {
    const float* const old_error = errors_.data() + (first + i) * columns_;
    const float* const weights = weights_.data() + (first + i) * columns_;
    float* const change = found_.data() + i * columns_;
    for (std::size_t k = 0; k < columns_; ++k) change[k] = weights[k] - change[k] - old_error[k];
  }
  pool_.run(hessian_.panels(), interrupts_, [&](std::size_t p) {
    const std::size_t width = hessian_.panel_width(p);
    multiply({found_.data(), count, columns_, columns_}, {hessian_.hessian_panel(p), columns_, width, width},
             products.data() + p * panel, columns_);
  });
  for (std::size_t i = 0; i < count; ++i) {
    interrupts_.check();
    const float* const change = found_.data() + i * columns_;
    float* const error = errors_.data() + (first + i) * columns_;
    const float scale = 2.0f / *coupling(first + i, first + i);
    double growth = 0.0;
    for (std::size_t k = 0; k < columns_; ++k) {
      growth += static_cast<double>(products[i * columns_ + k]) *
                static_cast<double>(change[k] + 2.0f * error[k] + scale * work_[i * columns_ + k]);
    }
    if (!(growth < 0.0)) continue;
    std::memcpy(out_ + (first + i) * row_bytes_, blocks_.data() + i * row_bytes_, row_bytes_);
    for (std::size_t k = 0; k < columns_; ++k) error[k] += change[k];
    for (std::size_t j = i + 1; j < count; ++j) {
      const float a = *coupling(first + j, first + i);
      float* const sum = work_.data() + j * columns_;
      for (std::size_t k = 0; k < columns_; ++k) sum[k] += a * change[k];
    }
  }
}

void coupled_rows::sweep(std::size_t most) {
  for (std::size_t first = 0; first < rows_; first += most) {
    const std::size_t count = std::min(most, rows_ - first);
    sum_errors(first, count);
    std::copy_n(wanted_.begin(), count * columns_, work_.begin());
    for (std::size_t i = 0; i < count; ++i) {
      const float scale = 1.0f / *coupling(first + i, first + i);
      const float* const weights = weights_.data() + (first + i) * columns_;
      float* const wanted = wanted_.data() + i * columns_;
      for (std::size_t k = 0; k < columns_; ++k) wanted[k] = weights[k] + scale * wanted[k];
    }
    quantize_wanted(first, count);
    keep_better(first, count);
  }
}

}  // namespace

void quantize_rows_two_sided(format f, span<const float> weights, const input_hessian& hessian,
                             const input_hessian& outputs, const hessian_options& options,
                             const two_sided_options& sides, std::byte* out, thread_pool& pool,
                             interrupt_checker& interrupts) {
  const std::size_t rows = outputs.columns();
  if (weights.size() != rows * hessian.columns()) {
    throw error(sqlstate::invalid_parameter_value, "number of weights is not rows times columns",
                "There are " + std::to_string(weights.size()) + " weights for " + std::to_string(rows) + " rows of " +
                    std::to_string(hessian.columns()) + ".");
  }
  if (sides.rows_at_once == 0 || panel % sides.rows_at_once != 0) {
    throw error(sqlstate::invalid_parameter_value, "rows_at_once is not a divisor of " + std::to_string(panel));
  }
  if (hessian_detail::find_grid(f) == nullptr) {
    quantize_rows(f, weights, rows, hessian, options, out, pool, interrupts);
    return;
  }
  const std::size_t most = std::min(sides.rows_at_once, rows);
  coupled_rows coupled(f, weights, hessian, outputs, options, most, out, pool, interrupts);
  coupled.feed_back(most);
  for (unsigned sweep = 0; sweep < sides.row_sweeps; ++sweep) coupled.sweep(most);
}

std::uint64_t two_sided_work_bytes(std::size_t rows, std::size_t columns) noexcept {
  const std::size_t most = std::min(two_sided_options().rows_at_once, rows);
  return (rows + 4 * most) * columns * sizeof(float) + most * columns * sizeof(float) +
         quantize_rows_work_bytes(most, columns);
}

}  // namespace hartonomous
