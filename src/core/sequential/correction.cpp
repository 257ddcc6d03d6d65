// Least squares (correction.hpp). Work is divided into tasks by its size only, so any number of threads gives the same
// numbers.
#include "sequential/correction.hpp"

#include "linear_algebra/sgemm.hpp"
#include "linear_algebra/steps.hpp"
#include "network/activations.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace hartonomous::sequential_detail {
namespace {

// How many rows make a task of some 10 ms, if each takes that many multiplications.
std::size_t rows_of_task(std::size_t multiplications) {
  constexpr std::size_t most = std::size_t{1} << 27, rows = 128;
  return std::clamp<std::size_t>(most / std::max<std::size_t>(multiplications, 1), 1, rows);
}

// right_side (rows x hessian.columns()) times H⁻¹, in place. H⁻¹ = CᵀC, and C is stored as panels of its rows,
// transposed: the product with Cᵀ is one with each panel, that with C one with each panel transposed.
void solve_against(const input_hessian& hessian, float_matrix& right_side, thread_pool& pool,
                   interrupt_checker& interrupts) {
  const std::size_t columns = right_side.columns, run = rows_of_task(columns * columns);
  pool.run((right_side.rows + run - 1) / run, interrupts, [&](std::size_t task) {
    const std::size_t from = task * run, count = std::min(run, right_side.rows - from);
    float* const rows = right_side.values.data() + from * columns;
    std::vector<float> half(count * columns), product(count * columns, 0.0F);
    for (std::size_t panel = 0; panel < hessian.panels(); ++panel) {
      const std::size_t first = panel * input_hessian::panel_columns, width = hessian.panel_width(panel);
      multiply({rows + first, count, columns - first, columns},
               {hessian.factor_panel(panel), columns - first, width, width}, half.data() + first, columns);
    }
    std::vector<float> term(count * columns);
    for (std::size_t panel = 0; panel < hessian.panels(); ++panel) {
      const std::size_t first = panel * input_hessian::panel_columns, width = hessian.panel_width(panel);
      const std::size_t others = columns - first;
      multiply_transposed({half.data() + first, count, width, columns},
                          {hessian.factor_panel(panel), others, width, width}, 1.0F, term.data(), others);
      for (std::size_t i = 0; i < count; ++i) {
        for (std::size_t j = 0; j < others; ++j) product[i * columns + first + j] += term[i * others + j];
      }
    }
    std::copy(product.begin(), product.end(), rows);
  });
}

// out += factor * a b, for row-major matrices; out is a.rows x b.columns.
void add_product(const float* a, std::size_t rows, const float_matrix& b, float factor, float* out, thread_pool& pool,
                 interrupt_checker& interrupts) {
  const std::size_t run = rows_of_task(b.rows * b.columns);
  pool.run((rows + run - 1) / run, interrupts, [&](std::size_t task) {
    const std::size_t from = task * run, count = std::min(run, rows - from);
    std::vector<float> term(count * b.columns);
    multiply({a + from * b.rows, count, b.rows, b.rows}, {b.values.data(), b.rows, b.columns, b.columns}, term.data(),
             b.columns);
    for (std::size_t i = 0; i < term.size(); ++i) out[from * b.columns + i] += factor * term[i];
  });
}

}  // namespace

float_matrix floats_of(const token_sums& sums, std::size_t rows, std::size_t columns, interrupt_checker& interrupts) {
  float_matrix result{rows, columns, {}};
  result.values.reserve(rows * columns);
  for (std::size_t row = 0; row < rows; ++row) {
    interrupts.check();
    std::transform(sums.row(row), sums.row(row) + columns, std::back_inserter(result.values),
                   [](double value) { return static_cast<float>(value); });
  }
  return result;
}

input_correction::input_correction(const std::string& tensor, const float* x, const float* exact, std::size_t columns,
                                   std::size_t tokens, const sequential_options& options, thread_pool& pool,
                                   interrupt_checker& interrupts) {
  const token_sums gram = gram_sums(x, columns, tokens, pool, interrupts);
  double trace = 0.0;
  for (std::size_t i = 0; i < columns; ++i) trace += gram.row(i)[0];
  if (!std::isfinite(trace)) network_detail::refuse_activations("input", tensor);
  hessian_ = std::make_unique<input_hessian>(
      columns, [&](std::size_t row, double* out) { std::copy_n(gram.row(row), columns - row, out); }, options.damping,
      pool, interrupts);
  scale_ = trace / static_cast<double>(columns) * (1.0 + hessian_->damping());
  shares_ = {0.0, 0.0};
  if (exact == nullptr || !(scale_ > 0.0)) return;
  shares_ = options.fixed_shares ? options.shares : supported_correction(tokens, columns);
  if (shares_.input > 0.0) {
    difference_ =
        floats_of(cross_sums(exact, x, columns, x, columns, tokens, pool, interrupts), columns, columns, interrupts);
  }
}

void input_correction::apply(std::vector<float>& weights, const float_matrix* streams, thread_pool& pool,
                             interrupt_checker& interrupts) const {
  if (shares_.input <= 0.0 && streams == nullptr) return;
  const std::size_t columns = hessian_->columns(), rows = weights.size() / columns;
  float_matrix change{rows, columns, {}};
  grow(change.values, weights.size(), interrupts);
  if (shares_.input > 0.0) {
    add_product(weights.data(), rows, difference_, static_cast<float>(shares_.input), change.values.data(), pool,
                interrupts);
  }
  if (streams != nullptr) {
    const auto share = static_cast<float>(shares_.stream);
    for (std::size_t i = 0; i < change.values.size(); ++i) change.values[i] += share * streams->values[i];
  }
  solve_against(*hessian_, change, pool, interrupts);
  const auto scale = static_cast<float>(1.0 / scale_);
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] += scale * change.values[i];
}

}  // namespace hartonomous::sequential_detail
