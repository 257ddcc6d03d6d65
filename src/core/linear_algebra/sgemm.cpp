// Products of row-major matrices with BLAS, which is column-major: it is given the transposed problem.
#include "linear_algebra/sgemm.hpp"

// The BLAS interface of Fortran; the headers in which Eigen declares it are a hundred times as long as this file.
extern "C" {
int sgemm_(const char* transpose_a, const char* transpose_b, const int* m, const int* n, const int* k,
           const float* alpha, const float* a, const int* lda, const float* b, const int* ldb, const float* beta,
           float* c, const int* ldc);
int sgemv_(const char* transpose, const int* m, const int* n, const float* alpha, const float* a, const int* lda,
           const float* x, const int* incx, const float* beta, float* y, const int* incy);
}

namespace hartonomous {
namespace {

constexpr int one = 1;
constexpr float zero = 0.0f;

// out[i] = scale * row i of m times x. In column-major terms, the transposed of a matrix whose columns are the rows of
// m.
void rows_times(const matrix_view& m, const float* x, float scale, float* out) {
  const int rows = static_cast<int>(m.columns), columns = static_cast<int>(m.rows), stride = static_cast<int>(m.stride);
  sgemv_("T", &rows, &columns, &scale, m.data, &stride, x, &one, &zero, out, &one);
}

// out = kept * out + sum of x[i] * row i of m.
void times_rows(const float* x, const matrix_view& m, float kept, float* out) {
  const int rows = static_cast<int>(m.columns), columns = static_cast<int>(m.rows), stride = static_cast<int>(m.stride);
  constexpr float scale = 1.0f;
  sgemv_("N", &rows, &columns, &scale, m.data, &stride, x, &one, &kept, out, &one);
}

// out = kept * out + transposed(a) * b.
void from_transposed(const matrix_view& a, const matrix_view& b, float kept, float* out, std::size_t stride) {
  if (a.columns == 0 || b.columns == 0) return;
  constexpr float scale = 1.0f;
  const int m = static_cast<int>(b.columns), n = static_cast<int>(a.columns), k = static_cast<int>(a.rows);
  const int lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride), ldc = static_cast<int>(stride);
  sgemm_("N", "T", &m, &n, &k, &scale, b.data, &lda, a.data, &ldb, &kept, out, &ldc);
}

// out = kept * out + a * b.
void product(const matrix_view& a, const matrix_view& b, float kept, float* out, std::size_t stride) {
  if (a.rows == 0 || b.columns == 0) return;
  if (a.rows == 1) {
    times_rows(a.data, b, kept, out);
    return;
  }
  constexpr float scale = 1.0f;
  const int m = static_cast<int>(b.columns), n = static_cast<int>(a.rows), k = static_cast<int>(a.columns);
  const int lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride), ldc = static_cast<int>(stride);
  sgemm_("N", "N", &m, &n, &k, &scale, b.data, &lda, a.data, &ldb, &kept, out, &ldc);
}

}  // namespace

void multiply_transposed(const matrix_view& a, const matrix_view& b, float scale, float* out, std::size_t stride) {
  if (a.rows == 0 || b.rows == 0) return;
  if (a.rows == 1) {
    rows_times(b, a.data, scale, out);
    return;
  }
  const int m = static_cast<int>(b.rows), n = static_cast<int>(a.rows), k = static_cast<int>(a.columns);
  const int lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride), ldc = static_cast<int>(stride);
  sgemm_("T", "N", &m, &n, &k, &scale, b.data, &lda, a.data, &ldb, &zero, out, &ldc);
}

void multiply_from_transposed(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride) {
  from_transposed(a, b, zero, out, stride);
}

void multiply(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride) {
  product(a, b, zero, out, stride);
}

void add_product_from_transposed(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride) {
  from_transposed(a, b, 1.0f, out, stride);
}

void add_product(const matrix_view& a, const matrix_view& b, float* out, std::size_t stride) {
  product(a, b, 1.0f, out, stride);
}

}  // namespace hartonomous
