// How the core lets its caller interrupt long work.
#pragma once

namespace hartonomous {

// The core calls check() every few milliseconds of work (for example, after each panel of weights). An implementation
// may throw, in which case the core unwinds; it must not call longjmp.
class interrupt_checker {
 public:
  interrupt_checker() = default;
  interrupt_checker(const interrupt_checker&) = delete;
  interrupt_checker& operator=(const interrupt_checker&) = delete;
  virtual ~interrupt_checker() = default;
  virtual void check() = 0;
};

// For callers that cannot be interrupted (unit tests, small inputs).
class no_interrupts final : public interrupt_checker {
 public:
  void check() override {}
};

}  // namespace hartonomous
