// Filling large vectors in steps of some milliseconds, between which the work can be interrupted (inside src/core
// only).
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

// Appends zeros until there are `size` numbers.
template <class Number>
void grow(std::vector<Number>& numbers, std::size_t size, interrupt_checker& interrupts) {
  constexpr std::size_t step = std::size_t{1} << 22;
  numbers.reserve(size);
  while (numbers.size() < size) {
    interrupts.check();
    numbers.resize(std::min(size, numbers.size() + step));
  }
}

// A copy of `count` numbers.
template <class Number>
std::vector<Number> copy_of(const Number* from, std::size_t count, interrupt_checker& interrupts) {
  constexpr std::size_t step = std::size_t{1} << 22;
  std::vector<Number> copy;
  copy.reserve(count);
  while (copy.size() < count) {
    interrupts.check();
    const Number* const next = from + copy.size();
    copy.insert(copy.end(), next, next + std::min(step, count - copy.size()));
  }
  return copy;
}

}  // namespace hartonomous
