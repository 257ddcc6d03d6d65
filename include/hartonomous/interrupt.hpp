// How long work in the core lets its caller interrupt it.
#pragma once

namespace hartonomous {

// The core calls poll() every few milliseconds of work (a panel, a block of rows). An implementation
// may throw, and the core unwinds; it never leaves by a long jump.
class interrupt {
 public:
  interrupt() = default;
  interrupt(const interrupt&) = delete;
  interrupt& operator=(const interrupt&) = delete;
  virtual ~interrupt() = default;
  virtual void poll() = 0;
};

// For callers that have nothing to interrupt with (unit tests, small inputs).
class no_interrupt final : public interrupt {
 public:
  void poll() override {}
};

}  // namespace hartonomous
