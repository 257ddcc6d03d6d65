// Sums over tokens and least squares (correction.hpp). Work is divided into tasks by its size only, so any number of
// threads gives the same sums.
#include "sequential/correction.hpp"

#include "linear_algebra/eigen.hpp"
#include "linear_algebra/sgemm.hpp"

#include <algorithm>

namespace hartonomous::sequential_detail {
namespace {

using Eigen::Index;
using row_major = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using row_major_floats = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr std::size_t token_panel = 256, part = 128;

std::size_t parts_of(std::size_t count) { return (count + part - 1) / part; }

// How many rows make a task of some 10 ms, if each takes that many multiplications.
std::size_t rows_of_task(std::size_t multiplications) {
  constexpr std::size_t most = std::size_t{1} << 27;
  return std::clamp<std::size_t>(most / std::max<std::size_t>(multiplications, 1), 1, part);
}

auto tokens_of(const float* x, std::size_t from, std::size_t count, std::size_t columns) {
  return Eigen::Map<const row_major_floats>(x + from * columns, static_cast<Index>(count), static_cast<Index>(columns));
}

// sum += panelᵀ other, one task for each run of rows of the sum.
void add_panel(row_major& sum, const row_major& left, const row_major& right, thread_pool& pool,
               interrupt_checker& interrupts) {
  const auto rows = static_cast<std::size_t>(sum.rows());
  pool.run(parts_of(rows), interrupts, [&](std::size_t task) {
    const auto from = static_cast<Index>(task * part);
    const Index count = std::min<Index>(part, sum.rows() - from);
    sum.middleRows(from, count).noalias() += left.middleCols(from, count).transpose() * right;
  });
}

}  // namespace

float_matrix cross_gram(const float* left, const float* minus, std::size_t left_columns, const float* right,
                        std::size_t right_columns, std::size_t tokens, thread_pool& pool,
                        interrupt_checker& interrupts) {
  row_major sum = row_major::Zero(static_cast<Index>(left_columns), static_cast<Index>(right_columns));
  for (std::size_t from = 0; from < tokens; from += token_panel) {
    const std::size_t count = std::min(token_panel, tokens - from);
    row_major a = tokens_of(left, from, count, left_columns).cast<double>();
    if (minus != nullptr) a -= tokens_of(minus, from, count, left_columns).cast<double>();
    add_panel(sum, a, tokens_of(right, from, count, right_columns).cast<double>(), pool, interrupts);
  }
  float_matrix result{left_columns, right_columns, std::vector<float>(left_columns * right_columns)};
  std::transform(sum.data(), sum.data() + sum.size(), result.values.begin(),
                 [](double value) { return static_cast<float>(value); });
  return result;
}

std::vector<double> gram_of(const float* x, std::size_t columns, std::size_t tokens, thread_pool& pool,
                            interrupt_checker& interrupts) {
  row_major sum = row_major::Zero(static_cast<Index>(columns), static_cast<Index>(columns));
  for (std::size_t from = 0; from < tokens; from += token_panel) {
    const row_major a = tokens_of(x, from, std::min(token_panel, tokens - from), columns).cast<double>();
    add_panel(sum, a, a, pool, interrupts);
  }
  return {sum.data(), sum.data() + sum.size()};
}

// H⁻¹ = CᵀC, and C is stored as panels of its rows, transposed: the product with Cᵀ is one with each panel, that with C
// one with each panel transposed.
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

}  // namespace hartonomous::sequential_detail
