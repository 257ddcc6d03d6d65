// Eigenvalues of symmetric matrices (symmetric_eigen.hpp). Householder reflections reduce the matrix to tridiagonal
// form, with a check for interrupts at each column (LAPACK's drivers would run for many seconds without one). LAPACK
// solves the tridiagonal problem: all eigenvalues by QL; eigenvectors of a small matrix by divide and conquer, those of
// a large one by MRRR, a batch at a time.
//
// Sources: Golub and Van Loan, Matrix Computations, 8.3; Dhillon and Parlett, Multiple representations to compute
// orthogonal eigenvectors of symmetric tridiagonal matrices (2004); Schreiber and Van Loan, A storage-efficient WY
// representation for products of Householder transformations (1989).
#include "linear_algebra/symmetric_eigen.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "hartonomous/error.hpp"

extern "C" {
// LAPACK's routines for tridiagonal matrices, which overwrite the diagonals d and e. All eigenvalues, ascending, in d:
void dsterf_(const int* n, double* d, double* e, int* info);
// The same, and with compz "I" all eigenvectors in z:
void dstedc_(const char* compz, const int* n, double* d, double* e, double* z, const int* ldz, double* work,
             const int* lwork, int* iwork, const int* liwork, int* info);
// With range "I", eigenvalues il to iu (from 1, ascending) in w, and their eigenvectors in z:
void dstemr_(const char* jobz, const char* range, const int* n, double* d, double* e, const double* vl,
             const double* vu, const int* il, const int* iu, int* m, double* w, double* z, const int* ldz,
             const int* nzc, int* isuppz, int* tryrac, double* work, const int* lwork, int* iwork, const int* liwork,
             int* info);
}

namespace hartonomous {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

// Up to this size, divide and conquer takes some 20 ms without a check for interrupts.
constexpr Index small_size = 512;
constexpr Index panel_width = 32;
constexpr Index batch_size = 32;

void require_success(int info, const char* routine) {
  if (info == 0) return;
  throw error(sqlstate::internal_error, "eigenvalues did not converge",
              std::string("LAPACK's ") + routine + " says " + std::to_string(info) + ".");
}

// The reflector H = I - tau v vᵀ, v[0] = 1, that maps x to (alpha, 0, ...); x becomes v.
double reflect(Eigen::Ref<VectorXd> x, double& alpha) {
  const double rest = x.tail(x.size() - 1).squaredNorm();
  const double first = x[0];
  if (rest == 0.0) {
    alpha = first;
    x[0] = 1.0;
    return 0.0;
  }
  const double norm = std::sqrt(first * first + rest);
  alpha = first > 0 ? -norm : norm;
  x.tail(x.size() - 1) /= first - alpha;
  x[0] = 1.0;
  return (alpha - first) / alpha;
}

// y = A x for a symmetric A given by its lower triangle, divided into tasks.
void symmetric_product(const Eigen::Ref<const MatrixXd>& a, const VectorXd& x, VectorXd& y, thread_pool& pool,
                       interrupt_checker& interrupts) {
  constexpr Index part = 512;
  const Index n = a.rows();
  const Index parts = (n + part - 1) / part;
  MatrixXd sums(n, parts);
  pool.run(static_cast<std::size_t>(parts), interrupts, [&](std::size_t p) {
    const Index from = static_cast<Index>(p) * part;
    const Index width = std::min(part, n - from);
    const Index below = n - from - width;
    auto sum = sums.col(static_cast<Index>(p));
    sum.setZero();
    sum.segment(from, width).noalias() +=
        a.block(from, from, width, width).selfadjointView<Eigen::Lower>() * x.segment(from, width);
    if (below == 0) return;
    const auto under = a.block(from + width, from, below, width);
    sum.tail(below).noalias() += under * x.segment(from, width);
    sum.segment(from, width).noalias() += under.transpose() * x.tail(below);
  });
  y = sums.rowwise().sum();
}

// A -= V Wᵀ + W Vᵀ in the lower triangle, by blocks.
void rank_two_update(Eigen::Ref<MatrixXd> a, const Eigen::Ref<const MatrixXd>& v, const Eigen::Ref<const MatrixXd>& w,
                     thread_pool& pool, interrupt_checker& interrupts) {
  constexpr Index part = 256;
  const Index n = a.rows();
  pool.run(static_cast<std::size_t>((n + part - 1) / part), interrupts, [&](std::size_t p) {
    const Index from = static_cast<Index>(p) * part;
    const Index width = std::min(part, n - from), height = n - from;
    auto block = a.block(from, from, height, width);
    block.noalias() -= v.bottomRows(height) * w.middleRows(from, width).transpose();
    block.noalias() -= w.bottomRows(height) * v.middleRows(from, width).transpose();
  });
}

}  // namespace

// Applies a panel of reflections at a time; the rest of the matrix is updated once per panel (LAPACK's dlatrd).
void symmetric_eigen::tridiagonalize() {
  MatrixXd& a = matrix_;
  const Index n = a.rows();
  diagonal_.resize(n);
  subdiagonal_ = scales_ = VectorXd::Zero(n);
  for (Index begin = 0; begin + 1 < n; begin += panel_width) {
    const Index width = std::min(panel_width, n - 1 - begin), rows = n - begin;
    MatrixXd v = MatrixXd::Zero(rows, width), w = MatrixXd::Zero(rows, width);
    VectorXd y;
    for (Index j = 0; j < width; ++j) {
      const Index column = begin + j, height = n - column, rest = height - 1;
      auto whole = a.col(column).tail(height);
      // Apply the previous reflections of this panel to the column.
      if (j > 0) {
        whole.noalias() -= v.block(j, 0, height, j) * w.row(j).head(j).transpose();
        whole.noalias() -= w.block(j, 0, height, j) * v.row(j).head(j).transpose();
      }
      diagonal_[column] = whole[0];
      auto x = a.col(column).tail(rest);
      const double tau = reflect(x, subdiagonal_[column]);
      scales_[column] = tau;
      v.col(j).tail(rest) = x;
      symmetric_product(a.bottomRightCorner(rest, rest), x, y, pool_, interrupts_);
      if (j > 0) {
        const auto old_v = v.block(j + 1, 0, rest, j), old_w = w.block(j + 1, 0, rest, j);
        y.noalias() -= old_v * (old_w.transpose() * x);
        y.noalias() -= old_w * (old_v.transpose() * x);
      }
      y *= tau;
      y -= 0.5 * tau * y.dot(x) * x;
      w.col(j).tail(rest) = y;
    }
    const Index left = n - begin - width;
    rank_two_update(a.bottomRightCorner(left, left), v.bottomRows(left), w.bottomRows(left), pool_, interrupts_);
  }
  diagonal_[n - 1] = a(n - 1, n - 1);
}

// In ascending order of eigenvalues, by divide and conquer.
MatrixXd symmetric_eigen::all_tridiagonal_vectors() const {
  const int n = static_cast<int>(diagonal_.size()), work_size = 1 + 4 * n + n * n, integer_size = 3 + 5 * n;
  VectorXd d = diagonal_, e = subdiagonal_, work(work_size);
  std::vector<int> integers(static_cast<std::size_t>(integer_size));
  MatrixXd vectors(n, n);
  int info = 0;
  dstedc_("I", &n, d.data(), e.data(), vectors.data(), &n, work.data(), &work_size, integers.data(), &integer_size,
          &info);
  require_success(info, "dstedc");
  return vectors;
}

// Eigenvectors number from..from + count - 1 in descending order of eigenvalues, returned in ascending order.
MatrixXd symmetric_eigen::some_tridiagonal_vectors(Index from, Index count) const {
  const int n = static_cast<int>(diagonal_.size()), work_size = 18 * n, integer_size = 10 * n;
  const int last = n - static_cast<int>(from), first = last - static_cast<int>(count) + 1;
  const int capacity = static_cast<int>(count);
  VectorXd d = diagonal_, e = subdiagonal_, w(n), work(work_size);
  std::vector<int> support(2 * static_cast<std::size_t>(count)), integers(static_cast<std::size_t>(integer_size));
  MatrixXd vectors(n, count);
  const double unused = 0;
  int found = 0, info = 0, accurate = 1;
  dstemr_("V", "I", &n, d.data(), e.data(), &unused, &unused, &first, &last, &found, w.data(), vectors.data(), &n,
          &capacity, support.data(), &accurate, work.data(), &work_size, integers.data(), &integer_size, &info);
  require_success(info != 0 || found == capacity ? info : -1, "dstemr");
  return vectors;
}

// vectors = Q vectors: applies the reflections of each panel, as I - V T Vᵀ, from the last panel to the first.
void symmetric_eigen::apply_reflections(Eigen::Ref<MatrixXd> vectors) const {
  const MatrixXd& a = matrix_;
  const Index n = a.rows();
  for (Index begin = (n - 2) / panel_width * panel_width; begin >= 0; begin -= panel_width) {
    const Index width = std::min(panel_width, n - 1 - begin), rows = n - begin - 1;
    MatrixXd v = a.block(begin + 1, begin, rows, width).triangularView<Eigen::UnitLower>();
    MatrixXd triangle = MatrixXd::Zero(width, width);
    for (Index j = 0; j < width; ++j) {
      const double tau = scales_[begin + j];
      triangle(j, j) = tau;
      if (j == 0) continue;
      const VectorXd products = v.leftCols(j).transpose() * v.col(j);
      triangle.col(j).head(j) = -tau * (triangle.topLeftCorner(j, j) * products);
    }
    auto target = vectors.bottomRows(rows);
    const MatrixXd products = triangle * (v.transpose() * target);
    target.noalias() -= v * products;
  }
}

symmetric_eigen::symmetric_eigen(MatrixXd matrix, thread_pool& pool, interrupt_checker& interrupts)
    : matrix_(std::move(matrix)), pool_(pool), interrupts_(interrupts) {
  tridiagonalize();
  VectorXd ascending = diagonal_, e = subdiagonal_;
  const int n = static_cast<int>(ascending.size());
  int info = 0;
  dsterf_(&n, ascending.data(), e.data(), &info);
  require_success(info, "dsterf");
  values_ = ascending.reverse();
}

MatrixXd symmetric_eigen::vectors(Index count) const {
  const Index n = matrix_.rows();
  interrupts_.check();
  if (n <= small_size) {
    MatrixXd result = all_tridiagonal_vectors().rightCols(count).rowwise().reverse();
    apply_reflections(result);
    return result;
  }
  MatrixXd result(n, count);
  pool_.run(static_cast<std::size_t>((count + batch_size - 1) / batch_size), interrupts_, [&](std::size_t b) {
    const Index from = static_cast<Index>(b) * batch_size, width = std::min(batch_size, count - from);
    auto batch = result.middleCols(from, width);
    batch = some_tridiagonal_vectors(from, width).rowwise().reverse();
    apply_reflections(batch);
  });
  return result;
}

std::size_t symmetric_eigen::work_bytes(std::size_t size, std::size_t count) {
  return sizeof(double) * size * (size + count + 4 * panel_width + size / 512 + 40);
}

}  // namespace hartonomous
