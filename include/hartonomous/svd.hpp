// Truncated singular value decomposition: W (rows x columns) ~ U diag(s) Vt of rank r, the best one in the Frobenius
// norm.
//
// A few singular values of a large matrix are computed from a block Krylov space: blocks W·X, orthogonalized against
// all before them (block Golub-Kahan-Lanczos), which is grown until the estimated gain of another block is small. Many
// singular values, or all those of a small matrix, are computed from the Gram matrix of the shorter side, in double.
// Both methods work for matrices of any shape and rank.
//
// Sources: Halko, Martinsson, Tropp, Finding structure with randomness (2011); Musco and Musco, Randomized block Krylov
// methods for stronger and faster approximate singular value decomposition (2015).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous {

// The rank wanted: the least one that explains `energy`, but at most `rank`.
struct svd_request {
  std::size_t rank = 0;    // 0: no limit; the result never has more than the matrix's smaller dimension
  double energy = 1.0;     // share of the sum of squares, above 0; with 1 or more, only `rank` counts
  std::uint64_t seed = 0;  // of the random starting block; equal seeds give equal results
};

// All are row-major. Columns of u and rows of vt are orthonormal, also where s is 0; s is descending. Signs are chosen
// so that the entry of largest magnitude in each row of vt is positive.
struct svd_factors {
  std::size_t rows = 0, columns = 0, rank = 0;
  std::vector<float> u;             // rows x rank
  std::vector<float> s;             // rank
  std::vector<float> vt;            // rank x columns
  double explained_variance = 1.0;  // sum of s² / sum of squares of the matrix; 1 for a zero matrix
};

// `matrix` is row-major and has rows * columns floats, at least one. The result does not depend on the number of
// threads.
//
// The error exceeds that of the best approximation of the same rank by less than 2e-4 of it, usually far less.
// Errors: 22023 if there are no rows or columns or the energy is not positive; 22003 if the matrix has NaN or infinity,
// naming the position (from 1), or numbers so large that singular values might leave the range of float.
svd_factors truncated_svd(span<const float> matrix, std::size_t rows, std::size_t columns, const svd_request& request,
                          thread_pool& pool, interrupt_checker& interrupts);

// About the most memory in bytes that truncated_svd() takes, including its result but not the matrix.
std::uint64_t svd_work_bytes(std::size_t rows, std::size_t columns, const svd_request& request);

// The rank from which factors of a rows x columns matrix have more numbers than the matrix.
constexpr std::size_t break_even_rank(std::size_t rows, std::size_t columns) noexcept {
  return rows + columns == 0 ? 0
                             : static_cast<std::size_t>(static_cast<double>(rows) * static_cast<double>(columns) /
                                                        static_cast<double>(rows + columns));
}

// Views of row-major U, s, Vt.
struct factor_view {
  std::size_t rows, columns, rank;
  span<const float> u, s, vt;
};

// out += rows from..from + count - 1 of U diag(s) Vt; `out` is count x columns, row-major.
void add_product(const factor_view& factors, std::size_t from, std::size_t count, float* out, thread_pool& pool,
                 interrupt_checker& interrupts);

// matrix -= U diag(s) Vt, for the whole matrix.
void subtract_product(const factor_view& factors, float* matrix, thread_pool& pool, interrupt_checker& interrupts);

// ||matrix - U diag(s) Vt|| / ||matrix||, Frobenius; 0 if both norms are 0, infinity if only the matrix is zero.
double factor_error(span<const float> matrix, const factor_view& factors, thread_pool& pool,
                    interrupt_checker& interrupts);

// Properties of factors that show whether they are valid.
struct factor_condition {
  bool finite = true;           // all numbers are; the other members are meaningless otherwise
  bool descending = true;       // s is, and has no negative value
  double smallest_ratio = 1.0;  // last value of s to the first; 0 if the first is 0
  // The largest entries of |UᵀU - I| and |Vt Vtᵀ - I|.
  double u_orthonormality = 0.0, vt_orthonormality = 0.0;
};
factor_condition examine(const factor_view& factors, thread_pool& pool, interrupt_checker& interrupts);

}  // namespace hartonomous
