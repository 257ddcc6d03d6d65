// Memory from PostgreSQL for C++: allocated in the current context, freed early; failure is an exception, not a jump.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "hartonomous/span.hpp"

namespace hartonomous::pg {

// palloc that can exceed 1 GB and throws bad_alloc instead of jumping.
inline void* allocate(std::size_t bytes) {
  void* p = palloc_extended(bytes == 0 ? 1 : bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

// An uninitialized array of trivially copyable T in the current memory context.
template <class T>
class buffer {
 public:
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);
  buffer() = default;
  explicit buffer(std::size_t size) : size_(size) {
    if (size > std::numeric_limits<std::size_t>::max() / 2 / sizeof(T)) throw std::bad_alloc();
    data_ = static_cast<T*>(allocate(size * sizeof(T)));
  }
  buffer(const buffer&) = delete;
  buffer& operator=(const buffer&) = delete;
  buffer(buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  buffer& operator=(buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~buffer() {
    if (data_ != nullptr) pfree(data_);
  }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }
  T& operator[](std::size_t i) noexcept { return data_[i]; }
  const T& operator[](std::size_t i) const noexcept { return data_[i]; }
  operator span<T>() noexcept { return {data_, size_}; }
  operator span<const T>() const noexcept { return {data_, size_}; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Switches the memory context within a scope.
class context_scope {
 public:
  explicit context_scope(MemoryContext context) noexcept : previous_(MemoryContextSwitchTo(context)) {}
  context_scope(const context_scope&) = delete;
  context_scope& operator=(const context_scope&) = delete;
  ~context_scope() { MemoryContextSwitchTo(previous_); }

 private:
  MemoryContext previous_;
};

// hartonomous.max_work_memory in bytes.
std::uint64_t work_memory() noexcept;
// Refuses work that needs more than hartonomous.max_work_memory, before anything is allocated.
void require_work_memory(std::uint64_t bytes, const char* purpose);

}  // namespace hartonomous::pg
