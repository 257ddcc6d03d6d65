// Factors as the SQL type svd_factors (sql/api/svd.sql).
#pragma once

#include "pg/base/boundary.hpp"
#include "pg/base/memory.hpp"

#include <cstddef>

#include "hartonomous/svd.hpp"

namespace hartonomous::pg {

struct matrix_size {
  std::size_t rows, columns;
  std::size_t count() const noexcept { return rows * columns; }
};

// The factors in an argument of that type, decoded; raises 2202E if they do not fit each other, 53200 beyond
// max_work_memory.
class factors_argument {
 public:
  explicit factors_argument(Datum value);
  const matrix_size& size() const noexcept { return size_; }
  factor_view view() const noexcept { return {size_.rows, size_.columns, rank_, u_, s_, vt_}; }

 private:
  matrix_size size_{};
  std::size_t rank_ = 0;
  buffer<float> u_, s_, vt_;
};

// The result of a function that returns that type: U and VT in F32.
Datum factors_datum(FunctionCallInfo fcinfo, const svd_factors& f);

}  // namespace hartonomous::pg
