// real[] arguments and results: mapped, not copied.
#pragma once

#include "pg/memory.hpp"

namespace hartonomous::pg {

// The elements of a real[] argument in storage order, whatever its dimensions; error 22004 on a NULL element.
class real_array_view {
 public:
  explicit real_array_view(Datum datum);
  real_array_view(const real_array_view&) = delete;
  real_array_view& operator=(const real_array_view&) = delete;
  ~real_array_view() {
    if (static_cast<const void*>(array_) != original_) pfree(array_);
  }
  span<const float> values() const noexcept {
    return {reinterpret_cast<const float*>(ARR_DATA_PTR(array_)), static_cast<std::size_t>(count_)};
  }

 private:
  const void* original_;
  ArrayType* array_;
  int count_;
};

// A new one-dimensional real[] with room for `count` elements (uninitialised); error 54000 beyond what one holds.
ArrayType* new_real_array(std::size_t count);
inline float* elements(ArrayType* array) { return reinterpret_cast<float*>(ARR_DATA_PTR(array)); }

}  // namespace hartonomous::pg
