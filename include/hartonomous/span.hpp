// A view of contiguous memory (std::span is C++20; this is the part of it the project uses).
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

namespace hartonomous {

template <class T>
class span {
 public:
  constexpr span() noexcept = default;
  constexpr span(T* data, std::size_t size) noexcept : data_(data), size_(size) {}
  // NOLINTBEGIN(google-explicit-constructor): a view is passed where its vector is meant.
  // A vector or an array of T, or a const view of a vector of the same element.
  template <class A>
  span(std::vector<std::remove_const_t<T>, A>& v) noexcept : data_(v.data()), size_(v.size()) {}
  template <class A, class U = T, class = std::enable_if_t<std::is_const_v<U>>>
  span(const std::vector<std::remove_const_t<T>, A>& v) noexcept : data_(v.data()), size_(v.size()) {}
  template <std::size_t count>
  constexpr span(T (&array)[count]) noexcept : data_(array), size_(count) {}
  template <class U, class = std::enable_if_t<std::is_same_v<const U, T>>>
  constexpr span(span<U> other) noexcept : data_(other.data()), size_(other.size()) {}
  // NOLINTEND(google-explicit-constructor)

  constexpr T* data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T* begin() const noexcept { return data_; }
  constexpr T* end() const noexcept { return data_ + size_; }
  constexpr T& operator[](std::size_t i) const noexcept { return data_[i]; }
  // Not range-checked: callers have validated offset + count <= size().
  constexpr span subspan(std::size_t offset, std::size_t count) const noexcept { return {data_ + offset, count}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

}  // namespace hartonomous
