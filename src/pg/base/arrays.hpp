// real[] and integer[] as arguments and results, without copying the elements.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "pg/base/memory.hpp"

namespace hartonomous::pg {

// The elements of a real[] or integer[] argument in storage order, whatever its dimensions; raises 22004 on a NULL
// element.
template <class T>
class array_view {
 public:
  explicit array_view(Datum datum);
  array_view(const array_view&) = delete;
  array_view& operator=(const array_view&) = delete;
  ~array_view() {
    if (static_cast<const void*>(array_) != original_) pfree(array_);
  }
  span<const T> values() const noexcept {
    return {reinterpret_cast<const T*>(ARR_DATA_PTR(array_)), static_cast<std::size_t>(count_)};
  }

 private:
  const void* original_;
  ArrayType* array_;
  int count_;
};
extern template class array_view<float>;
extern template class array_view<std::int32_t>;
using real_array_view = array_view<float>;
using integer_array_view = array_view<std::int32_t>;

// The elements of an array argument of any type, in storage order; raises 22004 on a NULL element.
class array_elements {
 public:
  array_elements(Datum array, Oid element_type);
  std::size_t size() const noexcept { return static_cast<std::size_t>(count_); }
  Datum operator[](std::size_t i) const noexcept { return values_[i]; }
  // Elements of a text[]; valid as long as the memory context of the constructor.
  std::string_view text(std::size_t i) const;

 private:
  Datum* values_ = nullptr;
  int count_ = 0;
};

// A text[] of the given names.
Datum text_array(const std::vector<std::string_view>& values);
// A double precision[].
Datum float8_array(const std::vector<double>& values);

// A new one-dimensional array with room for `count` uninitialized elements; raises 54000 if it would be too large.
ArrayType* new_real_array(std::size_t count);
ArrayType* new_integer_array(std::size_t count);
inline float* elements(ArrayType* array) { return reinterpret_cast<float*>(ARR_DATA_PTR(array)); }
inline std::int32_t* integer_elements(ArrayType* array) { return reinterpret_cast<std::int32_t*>(ARR_DATA_PTR(array)); }

}  // namespace hartonomous::pg
