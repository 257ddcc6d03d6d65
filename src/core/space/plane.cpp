// The plane that shows most of a tensor's rows (hartonomous/space.hpp).
#include "hartonomous/space.hpp"

#include "linear_algebra/eigen.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous {
namespace {

using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

matrix finite_rows(span<const float> sample, std::size_t rows, std::size_t columns) {
  matrix m = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(
                 sample.data(), static_cast<Eigen::Index>(rows), static_cast<Eigen::Index>(columns))
                 .cast<double>();
  for (Eigen::Index i = 0; i < m.rows(); ++i) {
    if (!m.row(i).allFinite()) m.row(i).setZero();
  }
  return m;
}

// A Aᵀ, summed over panels of columns: rows may be long.
Eigen::MatrixXd gram(const matrix& a, interrupt& check) {
  constexpr Eigen::Index panel = 8192;
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(a.rows(), a.rows());
  for (Eigen::Index j = 0; j < a.cols(); j += panel) {
    check.poll();
    const auto part = a.middleCols(j, std::min(panel, a.cols() - j));
    sum.noalias() += part * part.transpose();
  }
  return sum;
}

// v = Aᵀu / σ, or zeros for a singular value that is nothing beside the first one.
std::vector<float> right_vector(const matrix& a, const Eigen::VectorXd& u, double sigma, double largest) {
  std::vector<float> result(static_cast<std::size_t>(a.cols()), 0.0f);
  if (!(sigma > largest * 1e-6) || sigma == 0.0) return result;
  Eigen::VectorXd v = a.transpose() * u / sigma;
  Eigen::Index peak = 0;
  v.cwiseAbs().maxCoeff(&peak);
  if (v[peak] < 0) v = -v;
  for (Eigen::Index j = 0; j < v.size(); ++j) result[static_cast<std::size_t>(j)] = static_cast<float>(v[j]);
  return result;
}

}  // namespace

principal_plane find_principal_plane(span<const float> sample, std::size_t rows, std::size_t columns,
                                     interrupt& check) {
  principal_plane plane;
  plane.first.assign(columns, 0.0f);
  plane.second.assign(columns, 0.0f);
  if (rows == 0 || columns == 0) return plane;
  const matrix a = finite_rows(sample, rows, columns);
  check.poll();
  // The sample has few rows, so its Gram matrix A Aᵀ is small; squaring costs digits that two coordinates can spare.
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(gram(a, check));
  check.poll();
  const Eigen::Index last = static_cast<Eigen::Index>(rows) - 1;
  const auto sigma = [&](Eigen::Index i) { return std::sqrt(std::fmax(solver.eigenvalues()[i], 0.0)); };
  plane.first = right_vector(a, solver.eigenvectors().col(last), sigma(last), sigma(last));
  if (last > 0) plane.second = right_vector(a, solver.eigenvectors().col(last - 1), sigma(last - 1), sigma(last));
  return plane;
}

}  // namespace hartonomous
