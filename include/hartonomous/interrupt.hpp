// How the core asks its caller, during long work, whether to go on.
#pragma once

namespace hartonomous {

// The core calls check() every few milliseconds of work (after a panel, a block of rows). An implementation may throw,
// and the core unwinds; it must not leave by a long jump.
class interrupt_checker {
 public:
  interrupt_checker() = default;
  interrupt_checker(const interrupt_checker&) = delete;
  interrupt_checker& operator=(const interrupt_checker&) = delete;
  virtual ~interrupt_checker() = default;
  virtual void check() = 0;
};

// For callers whom nothing can interrupt (unit tests, small inputs).
class no_interrupts final : public interrupt_checker {
 public:
  void check() override {}
};

}  // namespace hartonomous
