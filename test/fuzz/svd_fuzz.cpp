// Matrices as JSON, and their decomposition: nothing but the documented errors, and factors that are what they promise.
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "hartonomous/error.hpp"
#include "hartonomous/matrix_json.hpp"
#include "hartonomous/svd.hpp"

using namespace hartonomous;

namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

void decompose(const std::vector<float>& matrix, std::size_t rows, std::size_t columns, const svd_request& request) {
  no_interrupts none;
  thread_pool pool;
  svd_factors f;
  try {
    f = truncated_svd(matrix, rows, columns, request, pool, none);
  } catch (const error& e) {
    require(std::string_view(e.state()) == "22003" || rows == 0 || columns == 0);
    return;
  }
  require(f.u.size() == f.rank * rows && f.vt.size() == f.rank * columns && f.s.size() == f.rank && f.rank > 0);
  const factor_view view = {rows, columns, f.rank, f.u, f.s, f.vt};
  const factor_condition found = examine(view, pool, none);
  require(found.finite && found.descending && found.u_orthonormality < 1e-4 && found.vt_orthonormality < 1e-4);
  const double error = factor_error(matrix, view, pool, none);
  const double unexplained = std::sqrt(std::fmax(1.0 - f.explained_variance, 0.0));
  // Subnormal numbers carry few digits: their products are only roughly what they should be.
  double largest = 0.0;
  for (float x : matrix) largest = std::fmax(largest, std::fabs(static_cast<double>(x)));
  if (largest > 1e-30) require(std::fabs(error - unexplained) < 2e-3);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  no_interrupts none;
  if (size < 3) return 0;
  svd_request request;
  request.rank = data[0] % 24;
  request.energy = data[1] < 128 ? 1.0 : (data[1] - 127) / 129.0;
  const std::size_t columns = data[2] % 40 + 1;
  data += 3;
  size -= 3;
  try {
    const json_matrix m = parse_json_matrix({reinterpret_cast<const char*>(data), size}, 4096, 64, none);
    require(m.values.size() == m.rows * m.columns);
    decompose(m.values, m.rows, m.columns, request);
  } catch (const error& e) {
    require(std::strlen(e.state()) == 5);
  }
  // The bytes themselves as numbers, of all magnitudes.
  std::vector<float> numbers(size / sizeof(float));
  if (!numbers.empty()) std::memcpy(numbers.data(), data, numbers.size() * sizeof(float));
  numbers.resize(numbers.size() / columns * columns);
  if (numbers.size() <= 4096) decompose(numbers, numbers.size() / columns, columns, request);
  return 0;
}
