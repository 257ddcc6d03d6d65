// All singular values from the Gram matrix of the short side, in double (svd/internal.hpp). Squaring loses only what
// float input does not have anyway: values below 1e-7 of the largest one are rounding noise, and come out as 0.
#include "linear_algebra/symmetric_eigen.hpp"
#include "svd/internal.hpp"

namespace hartonomous::svd_detail {

triplets dense_triplets(const operand& a, const goal& wanted) {
  constexpr double rounding = 1e-7;
  const symmetric_eigen solved(a.gram(), a.pool(), a.interrupts());
  const VectorXd squares = solved.values().cwiseMax(0.0);
  const Index rank = wanted.rank_by(squares).value_or(wanted.limit);
  triplets result{solved.vectors(rank).cast<float>(), MatrixXf(a.long_side(), rank), squares.head(rank).cwiseSqrt()};
  a.transpose_times(result.left, result.right);
  for (Index i = 0; i < rank; ++i) {
    if (!(result.values[i] > rounding * result.values[0])) {
      result.values[i] = 0.0;
      result.right.col(i).setZero();
    }
  }
  return result;
}

}  // namespace hartonomous::svd_detail
