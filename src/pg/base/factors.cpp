// Conversion of factors (factors.hpp).
#include "pg/base/factors.hpp"

#include "pg/base/arrays.hpp"
#include "pg/base/composite.hpp"
#include "pg/base/weights.hpp"

#include <algorithm>
#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous::pg {
namespace {

weights_varlena* f32_weights(span<const float> values) {
  weights_varlena* w = new_weights(format::F32, values.size());
  std::copy_n(values.data(), values.size(), reinterpret_cast<float*>(w->blocks()));
  return w;
}

}  // namespace

factors_argument::factors_argument(Datum value) {
  const composite_view row(value);
  const weights_view u(row.field(1)), vt(row.field(3));
  const real_array_view s(row.field(2));
  const int32 rows = DatumGetInt32(row.field(4)), columns = DatumGetInt32(row.field(5)),
              rank = DatumGetInt32(row.field(6));
  size_ = {static_cast<std::size_t>(std::max(rows, 0)), static_cast<std::size_t>(std::max(columns, 0))};
  rank_ = static_cast<std::size_t>(std::max(rank, 0));
  if (rows < 0 || columns < 0 || rank < 0 || u.count() != size_.rows * rank_ || s.values().size() != rank_ ||
      vt.count() != rank_ * size_.columns) {
    throw error(sqlstate::array_subscript_error, "factors do not fit each other",
                "U has " + std::to_string(u.count()) + " numbers, S " + std::to_string(s.values().size()) + ", VT " +
                    std::to_string(vt.count()) + ", for " + std::to_string(rows) + " rows, " + std::to_string(columns) +
                    " columns and rank " + std::to_string(rank) + ".");
  }
  require_work_memory((u.count() + vt.count()) * sizeof(float), "decoding factors");
  u_ = buffer<float>(u.count());
  decode(u, u_.data());
  vt_ = buffer<float>(vt.count());
  decode(vt, vt_.data());
  s_ = buffer<float>(rank_);
  std::copy_n(s.values().data(), rank_, s_.data());
}

Datum factors_datum(FunctionCallInfo fcinfo, const svd_factors& f) {
  ArrayType* s = new_real_array(f.s.size());
  std::copy(f.s.begin(), f.s.end(), elements(s));
  const Datum values[] = {PointerGetDatum(f32_weights(f.u)),
                          PointerGetDatum(s),
                          PointerGetDatum(f32_weights(f.vt)),
                          Int32GetDatum(static_cast<int32>(f.rows)),
                          Int32GetDatum(static_cast<int32>(f.columns)),
                          Int32GetDatum(static_cast<int32>(f.rank)),
                          Float8GetDatum(f.explained_variance)};
  const bool nulls[7] = {};
  return composite_datum(fcinfo, values, nulls);
}

}  // namespace hartonomous::pg
