// Reading and creating real[] and integer[] (arrays.hpp).
#include "pg/base/arrays.hpp"

#include <cstdint>
#include <string>

namespace hartonomous::pg {

namespace {

template <class T>
struct element;
template <>
struct element<float> {
  static constexpr Oid type = FLOAT4OID;
  static constexpr const char* expected = "array of real expected";
  static constexpr const char* named = "weights";
};
template <>
struct element<std::int32_t> {
  static constexpr Oid type = INT4OID;
  static constexpr const char* expected = "array of integer expected";
  static constexpr const char* named = "numbers";
};

template <class T>
ArrayType* new_array(std::size_t count) {
  if (count > MaxArraySize) {
    throw error(sqlstate::program_limit_exceeded, std::string("too many ") + element<T>::named + " for one array",
                std::to_string(count) + " " + element<T>::named + "; an array holds at most " +
                    std::to_string(MaxArraySize) + ".");
  }
  const int dimensions = count == 0 ? 0 : 1;
  const std::size_t bytes = ARR_OVERHEAD_NONULLS(dimensions) + count * sizeof(T);
  auto* array = static_cast<ArrayType*>(allocate(bytes));
  std::memset(array, 0, ARR_OVERHEAD_NONULLS(dimensions));
  SET_VARSIZE(array, bytes);
  array->ndim = dimensions;
  array->elemtype = element<T>::type;
  if (dimensions == 1) {
    ARR_DIMS(array)[0] = static_cast<int>(count);
    ARR_LBOUND(array)[0] = 1;
  }
  return array;
}

}  // namespace

template <class T>
array_view<T>::array_view(Datum datum) : original_(DatumGetPointer(datum)) {
  array_ = call([&] { return DatumGetArrayTypeP(datum); });
  if (ARR_ELEMTYPE(array_) != element<T>::type) throw error(sqlstate::invalid_parameter_value, element<T>::expected);
  if (ARR_HASNULL(array_) && call([&] { return array_contains_nulls(array_); })) {
    throw error(sqlstate::null_value_not_allowed, "array must not contain nulls");
  }
  count_ = call([&] { return ArrayGetNItems(ARR_NDIM(array_), ARR_DIMS(array_)); });
}
template class array_view<float>;
template class array_view<std::int32_t>;

array_elements::array_elements(Datum array, Oid element_type) {
  bool* is_null = nullptr;
  call([&] {
    int16 length;
    bool by_value;
    char alignment;
    get_typlenbyvalalign(element_type, &length, &by_value, &alignment);
    deconstruct_array(DatumGetArrayTypeP(array), element_type, length, by_value, alignment, &values_, &is_null,
                      &count_);
  });
  for (int i = 0; i < count_; ++i) {
    if (is_null[i]) throw error(sqlstate::null_value_not_allowed, "array must not contain nulls");
  }
}

std::string_view array_elements::text(std::size_t i) const {
  const struct varlena* value = call([&] { return PG_DETOAST_DATUM_PACKED(values_[i]); });
  return {VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)};
}

Datum text_array(const std::vector<std::string_view>& values) {
  return call([&] {
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (values.size() + 1)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      elements[i] = PointerGetDatum(cstring_to_text_with_len(values[i].data(), static_cast<int>(values[i].size())));
    }
    return PointerGetDatum(
        construct_array(elements, static_cast<int>(values.size()), TEXTOID, -1, false, TYPALIGN_INT));
  });
}

Datum float8_array(const std::vector<double>& values) {
  return call([&] {
    auto* elements = static_cast<Datum*>(palloc(sizeof(Datum) * (values.size() + 1)));
    for (std::size_t i = 0; i < values.size(); ++i) elements[i] = Float8GetDatum(values[i]);
    return PointerGetDatum(
        construct_array(elements, static_cast<int>(values.size()), FLOAT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
  });
}

ArrayType* new_real_array(std::size_t count) { return new_array<float>(count); }
ArrayType* new_integer_array(std::size_t count) { return new_array<std::int32_t>(count); }

}  // namespace hartonomous::pg
