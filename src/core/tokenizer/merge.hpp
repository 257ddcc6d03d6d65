// Merges the symbols of a text pair by pair, the best pair first. Both kinds of tokenizer share this.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "hartonomous/interrupt.hpp"

namespace hartonomous::tokenizer_detail {

// A part of the text, in a doubly linked list. A merge extends `left` by `right`.
struct symbol {
  std::uint32_t begin;
  std::uint32_t length;  // bytes; 0 if it has been merged into another symbol
  std::int32_t id;       // the tokenizer's number for it
  std::int32_t previous, next;
};

// A pair that can be merged, as it was when it was found.
struct candidate {
  double order;  // lower values first, then the leftmost
  std::int32_t left;
  std::uint32_t length;  // of both symbols
  std::int32_t id;       // of the merged symbol
};

// Checks for interrupts once every few thousand steps.
class work_meter {
 public:
  explicit work_meter(interrupt_checker& interrupts) noexcept : interrupts_(interrupts) {}
  void step() {
    if (++steps_ % 4096 == 0) interrupts_.check();
  }

 private:
  interrupt_checker& interrupts_;
  std::uint32_t steps_ = 0;
};

// The memory for merging, reused from one part of the text to the next.
class merger {
 public:
  explicit merger(work_meter& work) noexcept : work_(work) {}

  void clear() noexcept { symbols_.clear(); }
  void add(std::uint32_t begin, std::uint32_t length, std::int32_t id) {
    const auto index = static_cast<std::int32_t>(symbols_.size());
    if (index > 0) symbols_.back().next = index;
    symbols_.push_back({begin, length, id, index - 1, -1});
    work_.step();
  }

  // `pair(left, right, found)` returns whether the two symbols can be merged, and sets `order` and `id`.
  // `made(symbol)` is called for each symbol that a merge makes.
  template <class Pair, class Made>
  void merge(Pair pair, Made made) {
    heap_.clear();
    const auto count = static_cast<std::int32_t>(symbols_.size());
    for (std::int32_t i = 0; i + 1 < count; ++i) {
      work_.step();
      consider(i, pair);
    }
    while (!heap_.empty()) {
      work_.step();
      std::pop_heap(heap_.begin(), heap_.end(), later);
      const candidate best = heap_.back();
      heap_.pop_back();
      symbol& left = at(best.left);
      if (left.length == 0 || left.next < 0) continue;
      symbol& right = at(left.next);
      if (left.length + right.length != best.length) continue;  // one of the symbols has been merged since
      left.length = best.length;
      left.id = best.id;
      right.length = 0;
      left.next = right.next;
      if (right.next >= 0) at(right.next).previous = best.left;
      made(left);
      if (left.previous >= 0) consider(left.previous, pair);
      if (left.next >= 0) consider(best.left, pair);
    }
  }

  template <class Pair>
  void merge(Pair pair) {
    merge(pair, [](const symbol&) {});
  }

  // Calls visit(symbol) for the remaining symbols in order.
  template <class Visit>
  void each(Visit visit) const {
    for (const symbol& s : symbols_) {
      if (s.length > 0) visit(s);
    }
  }

 private:
  static bool later(const candidate& a, const candidate& b) noexcept {
    return a.order > b.order || (a.order == b.order && a.left > b.left);
  }
  symbol& at(std::int32_t i) noexcept { return symbols_[static_cast<std::size_t>(i)]; }

  template <class Pair>
  void consider(std::int32_t index, Pair& pair) {
    const symbol& left = at(index);
    const symbol& right = at(left.next);
    candidate found = {0, index, left.length + right.length, -1};
    if (!pair(left, right, found)) return;
    heap_.push_back(found);
    std::push_heap(heap_.begin(), heap_.end(), later);
  }

  work_meter& work_;
  std::vector<symbol> symbols_;
  std::vector<candidate> heap_;
};

}  // namespace hartonomous::tokenizer_detail
