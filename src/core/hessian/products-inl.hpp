// The matrix products of the quantizer: what changes in a few columns does to others, for all rows of a batch.
#if defined(HARTONOMOUS_HESSIAN_PRODUCTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HARTONOMOUS_HESSIAN_PRODUCTS_INL_HPP
#undef HARTONOMOUS_HESSIAN_PRODUCTS_INL_HPP
#else
#define HARTONOMOUS_HESSIAN_PRODUCTS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>

#include "hessian/levels-inl.hpp"
#include "hessian/batch.hpp"

HWY_BEFORE_NAMESPACE();
namespace hartonomous::hessian_detail::HWY_NAMESPACE {
namespace {

// Columns of a panel in groups of 16, of which only some have changed.
inline constexpr std::size_t group_columns = 16;
struct column_groups {
  std::size_t count = 0;
  std::size_t first[input_hessian::panel_columns / group_columns];  // column

  static column_groups of(std::size_t from, std::size_t columns) {
    column_groups all;
    for (std::size_t at = from; at < from + columns; at += group_columns) all.first[all.count++] = at;
    return all;
  }
};

// out[j] -= sum over the columns i of m[j][i] * x[i] for j < rows, a multiple of 4; x[i] and out[j] are the two vectors
// of a batch. The terms are subtracted in the order of i. Four rows of m at a time, so that sums stay in registers.
inline void subtract_products(const float* m, std::size_t width, std::size_t rows, const float* x,
                              const column_groups& groups, float* out) {
  const std::size_t lanes_count = lanes::lane_count(), stride = 2 * lanes_count;
  for (std::size_t j = 0; j < rows; j += 4, m += 4 * width, out += 4 * stride) {
    floats a0 = load(out), a1 = load(out + lanes_count);
    floats b0 = load(out + stride), b1 = load(out + stride + lanes_count);
    floats c0 = load(out + 2 * stride), c1 = load(out + 2 * stride + lanes_count);
    floats d0 = load(out + 3 * stride), d1 = load(out + 3 * stride + lanes_count);
    for (std::size_t g = 0; g < groups.count; ++g) {
      const float* row = m + groups.first[g];
      const float* column = x + groups.first[g] * stride;
      for (std::size_t i = 0; i < group_columns; ++i, ++row, column += stride) {
        const floats x0 = load(column), x1 = load(column + lanes_count);
        const floats a = all(row[0]), b = all(row[width]), c = all(row[2 * width]), d = all(row[3 * width]);
        a0 = hn::Sub(a0, hn::Mul(a, x0));
        a1 = hn::Sub(a1, hn::Mul(a, x1));
        b0 = hn::Sub(b0, hn::Mul(b, x0));
        b1 = hn::Sub(b1, hn::Mul(b, x1));
        c0 = hn::Sub(c0, hn::Mul(c, x0));
        c1 = hn::Sub(c1, hn::Mul(c, x1));
        d0 = hn::Sub(d0, hn::Mul(d, x0));
        d1 = hn::Sub(d1, hn::Mul(d, x1));
      }
    }
    store(a0, out), store(a1, out + lanes_count);
    store(b0, out + stride), store(b1, out + stride + lanes_count);
    store(c0, out + 2 * stride), store(c1, out + 2 * stride + lanes_count);
    store(d0, out + 3 * stride), store(d1, out + 3 * stride + lanes_count);
  }
}

}  // namespace
}  // namespace hartonomous::hessian_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
