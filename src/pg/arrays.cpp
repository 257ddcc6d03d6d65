// real[] in and out (arrays.hpp).
#include "pg/arrays.hpp"

#include <string>

namespace hartonomous::pg {

real_array_view::real_array_view(Datum datum) : original_(DatumGetPointer(datum)) {
  array_ = call([&] { return DatumGetArrayTypeP(datum); });
  if (ARR_ELEMTYPE(array_) != FLOAT4OID) {
    throw error(sqlstate::invalid_parameter_value, "array of real expected");
  }
  if (ARR_HASNULL(array_) && call([&] { return array_contains_nulls(array_); })) {
    throw error("22004", "array must not contain nulls");
  }
  count_ = call([&] { return ArrayGetNItems(ARR_NDIM(array_), ARR_DIMS(array_)); });
}

ArrayType* new_real_array(std::size_t count) {
  if (count > MaxArraySize) {
    throw error(sqlstate::program_limit_exceeded, "too many weights for one array",
                std::to_string(count) + " weights; an array holds at most " + std::to_string(MaxArraySize) + ".");
  }
  const int dimensions = count == 0 ? 0 : 1;
  const std::size_t bytes = ARR_OVERHEAD_NONULLS(dimensions) + count * sizeof(float);
  auto* array = static_cast<ArrayType*>(allocate(bytes));
  std::memset(array, 0, ARR_OVERHEAD_NONULLS(dimensions));
  SET_VARSIZE(array, bytes);
  array->ndim = dimensions;
  array->elemtype = FLOAT4OID;
  if (dimensions == 1) {
    ARR_DIMS(array)[0] = static_cast<int>(count);
    ARR_LBOUND(array)[0] = 1;
  }
  return array;
}

}  // namespace hartonomous::pg
