// Errors of formats under a Gram matrix (hartonomous/sensitivity.hpp).
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/sensitivity.hpp"
#include "linear_algebra/sgemm.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>

namespace hartonomous {
namespace {

constexpr std::size_t gram_panel_rows = 256, row_run = 64;
// Weights that are quantized in a few milliseconds in any format.
constexpr std::size_t quantized_run = std::size_t{1} << 14;

}  // namespace

format_errors::format_errors(std::vector<format> formats, std::size_t columns, bool by_importance, thread_pool& threads,
                             interrupt_checker& interrupts)
    : formats_(std::move(formats)),
      columns_(columns),
      by_importance_(by_importance),
      threads_(threads),
      interrupts_(interrupts),
      errors_(formats_.size(), 0.0) {}

std::size_t format_errors::panel_rows(std::size_t columns) noexcept {
  constexpr std::size_t floats = std::size_t{1} << 22;
  return std::max<std::size_t>(1, std::min<std::size_t>(1024, floats / std::max<std::size_t>(1, columns)));
}

std::uint64_t format_errors::bytes(std::size_t columns, bool by_hessian) noexcept {
  const std::uint64_t rows = 4 * std::uint64_t{panel_rows(columns)} * columns, gram = gram_panel_rows * columns,
                      products = panel_rows(columns) * gram_panel_rows;
  return sizeof(float) * (rows + gram + products) +
         (by_hessian ? quantize_rows_work_bytes(panel_rows(columns), columns) : 0);
}

void format_errors::use(const input_gram& inputs) { inputs_ = inputs; }

void format_errors::add(const float* rows, std::size_t count) {
  std::vector<float> values(rows, rows + count * columns_), error(values.size());
  energy_ += sum(values, count);
  for (std::size_t f = 0; f < formats_.size(); ++f) {
    if (std::isinf(errors_[f])) continue;
    const double found =
        round_rows(formats_[f], rows, count, error) ? sum(error, count) : std::numeric_limits<double>::infinity();
    // A weight beyond the range of F16 becomes infinite, and its products may be NaN.
    errors_[f] = std::isfinite(found) ? errors_[f] + found : std::numeric_limits<double>::infinity();
  }
}

std::vector<double> format_errors::relative_errors() const {
  std::vector<double> relative;
  for (const double e : errors_) relative.push_back(energy_ > 0.0 || std::isinf(e) ? e / energy_ : 0.0);
  return relative;
}

// False if the format cannot hold a weight.
bool format_errors::round_rows(format f, const float* rows, std::size_t count, std::vector<float>& error) {
  const std::size_t row_bytes = bytes_of(f, columns_);
  std::vector<std::byte> blocks(count * row_bytes);
  if (!quantize_panel(f, rows, count, blocks)) return false;
  threads_.run((count + row_run - 1) / row_run, interrupts_, [&](std::size_t task) {
    no_interrupts none;
    for (std::size_t row = task * row_run; row < std::min(count, (task + 1) * row_run); ++row) {
      const float* const from = rows + row * columns_;
      float* const to = error.data() + row * columns_;
      dequantize(f, {blocks.data() + row * row_bytes, row_bytes}, columns_, to, none);
      for (std::size_t i = 0; i < columns_; ++i) to[i] = from[i] - to[i];
    }
  });
  return true;
}

bool format_errors::quantize_panel(format f, const float* rows, std::size_t count, std::vector<std::byte>& blocks) {
  try {
    if (inputs_.hessian != nullptr) {
      quantize_rows(f, {rows, count * columns_}, count, *inputs_.hessian, {}, blocks.data(), threads_, interrupts_);
      return true;
    }
    const span<const float> importance = by_importance_ ? inputs_.diagonal : span<const float>();
    const std::size_t run = std::max<std::size_t>(1, quantized_run / std::max<std::size_t>(1, columns_));
    threads_.run((count + run - 1) / run, interrupts_, [&](std::size_t task) {
      no_interrupts none;
      for (std::size_t row = task * run; row < std::min(count, (task + 1) * run); ++row) {
        quantize(f, {rows + row * columns_, columns_}, importance, blocks.data() + row * bytes_of(f, columns_), none);
      }
    });
    return true;
  } catch (const hartonomous::error& e) {
    if (std::string_view(e.state()) != sqlstate::numeric_value_out_of_range) throw;
    return false;
  }
}

double format_errors::sum(const std::vector<float>& rows, std::size_t count) {
  return inputs_.upper.empty() ? diagonal_sum(rows, count) : gram_sum(rows, count);
}

double format_errors::diagonal_sum(const std::vector<float>& rows, std::size_t count) const {
  double total = 0.0;
  for (std::size_t row = 0; row < count; ++row) {
    for (std::size_t i = 0; i < columns_; ++i) {
      const double value = rows[row * columns_ + i];
      total += value * value * (inputs_.diagonal.empty() ? 1.0 : static_cast<double>(inputs_.diagonal[i]));
    }
  }
  return total;
}

// The sum of d G d^T over the rows d, by panels of rows of the triangle. Within a panel each number beside the diagonal
// counts twice.
double format_errors::gram_sum(const std::vector<float>& rows, std::size_t count) {
  const std::size_t runs = (count + row_run - 1) / row_run;
  std::vector<double> sums(count, 0.0);
  std::vector<float> panel, products(count * gram_panel_rows);
  std::size_t offset = 0;  // of the panel in the triangle
  for (std::size_t first = 0; first < columns_; first += gram_panel_rows) {
    const std::size_t height = std::min(gram_panel_rows, columns_ - first), width = columns_ - first;
    panel.assign(height * width, 0.0f);
    for (std::size_t i = 0; i < height; ++i) {
      panel[i * width + i] = inputs_.upper[offset++];
      for (std::size_t j = i + 1; j < width; ++j) panel[i * width + j] = 2.0f * inputs_.upper[offset++];
    }
    threads_.run(runs, interrupts_, [&](std::size_t run) {
      const std::size_t begin = run * row_run, length = std::min(row_run, count - begin);
      const float* const from = rows.data() + begin * columns_ + first;
      float* const to = products.data() + begin * gram_panel_rows;
      multiply_transposed({from, length, width, columns_}, {panel.data(), height, width, width}, 1.0f, to,
                          gram_panel_rows);
      for (std::size_t row = 0; row < length; ++row) {
        for (std::size_t i = 0; i < height; ++i) {
          sums[begin + row] += static_cast<double>(from[row * columns_ + i]) * to[row * gram_panel_rows + i];
        }
      }
    });
  }
  double total = 0.0;
  for (const double s : sums) total += s;
  return std::max(total, 0.0);
}

}  // namespace hartonomous
