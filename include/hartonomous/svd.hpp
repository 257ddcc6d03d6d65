// Truncated singular value decomposition: W (rows x columns) ~ U diag(s) Vt of rank r, the best in the Frobenius norm.
//
// Few singular values of a large matrix come from a block Krylov space: blocks W·X orthogonalised against all before
// them (block Golub-Kahan-Lanczos), grown until what another block would still add is known to be small. Many, or all
// those of a small matrix, come from the Gram matrix of the shorter side, in double. Both work on matrices of any
// shape and rank.
//
// Sources: Halko, Martinsson, Tropp, Finding structure with randomness (2011); Musco and Musco, Randomized block
// Krylov methods for stronger and faster approximate singular value decomposition (2015).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"
#include "hartonomous/span.hpp"
#include "hartonomous/workers.hpp"

namespace hartonomous {

// How much of the matrix is wanted: the least rank that explains `energy`, but no more than `rank`.
struct svd_request {
  std::size_t rank = 0;    // 0: as many as the matrix has; more than it has are not given
  double energy = 1.0;     // share of the sum of squares, above 0; from 1 on `rank` alone counts
  std::uint64_t seed = 0;  // of the random starting block: equal seeds give equal results
};

// All row-major. Columns of u and rows of vt are orthonormal, also where s is 0; s descends. The sign of each pair is
// such that the entry of vt's row with the largest magnitude is positive.
struct svd_factors {
  std::size_t rows = 0, columns = 0, rank = 0;
  std::vector<float> u;             // rows x rank
  std::vector<float> s;             // rank
  std::vector<float> vt;            // rank x columns
  double explained_variance = 1.0;  // sum of s² / sum of squares of the matrix; 1 for a zero matrix
};

// `matrix` is row-major, rows * columns floats, at least one. The result does not depend on the number of threads.
//
// Excess of the error over the best of its rank, relative: below 2e-4, usually far below.
// Errors: 22023 no rows or columns, an energy that is not positive; 22003 NaN or infinity in the matrix, naming the
// position (from 1), or numbers so large that singular values might leave the range of float.
svd_factors truncated_svd(span<const float> matrix, std::size_t rows, std::size_t columns, const svd_request& request,
                          workers& crew, interrupt_checker& interrupts);

// About the most memory truncated_svd() takes besides the matrix, its result included, in bytes.
std::uint64_t svd_work_bytes(std::size_t rows, std::size_t columns, const svd_request& request);

// The rank from which factors of rows x columns have more numbers than the matrix.
constexpr std::size_t break_even_rank(std::size_t rows, std::size_t columns) noexcept {
  return rows + columns == 0 ? 0
                             : static_cast<std::size_t>(static_cast<double>(rows) * static_cast<double>(columns) /
                                                        static_cast<double>(rows + columns));
}

// Factors in use: spans over any row-major U, s, Vt.
struct factor_view {
  std::size_t rows, columns, rank;
  span<const float> u, s, vt;
};

// out += rows from..from + count - 1 of U diag(s) Vt; `out` is count x columns, row-major.
void add_product(const factor_view& factors, std::size_t from, std::size_t count, float* out, workers& crew,
                 interrupt_checker& interrupts);

// matrix -= U diag(s) Vt, all of it.
void subtract_product(const factor_view& factors, float* matrix, workers& crew, interrupt_checker& interrupts);

// ||matrix - U diag(s) Vt|| / ||matrix||, Frobenius; 0 when both norms are 0, infinity when only the matrix is zero.
double factor_error(span<const float> matrix, const factor_view& factors, workers& crew, interrupt_checker& interrupts);

// What can be wrong with factors by themselves.
struct factor_condition {
  bool finite = true;           // every number of theirs; the rest is meaningless where not
  bool descending = true;       // s, and none below 0
  double smallest_ratio = 1.0;  // the last of s to the first; 0 when the first is
  // The largest entries of |UᵀU - I| and |Vt Vtᵀ - I|.
  double u_orthonormality = 0.0, vt_orthonormality = 0.0;
};
factor_condition examine(const factor_view& factors, workers& crew, interrupt_checker& interrupts);

}  // namespace hartonomous
