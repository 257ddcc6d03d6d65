// Counts checks for interrupts, and interrupts at one of them.
#pragma once

#include <stdexcept>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

class countdown final : public interrupt_checker {
 public:
  // Throws std::domain_error at this check, counted from 1; without one never.
  explicit countdown(int stop_at = 0) : stop_at_(stop_at) {}
  void check() override {
    if (++checks_ == stop_at_) throw std::domain_error("cancelled");
  }
  int checks() const noexcept { return checks_; }

 private:
  int stop_at_, checks_ = 0;
};

}  // namespace hartonomous
