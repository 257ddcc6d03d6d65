// An interrupt that counts polls, and says stop at one of them.
#pragma once

#include <stdexcept>

#include "hartonomous/interrupt.hpp"

namespace hartonomous {

class countdown final : public interrupt {
 public:
  // Throws std::domain_error at this poll, counted from 1; without one never.
  explicit countdown(int stop_at = 0) : stop_at_(stop_at) {}
  void poll() override {
    if (++polls_ == stop_at_) throw std::domain_error("cancelled");
  }
  int polls() const noexcept { return polls_; }

 private:
  int stop_at_, polls_ = 0;
};

}  // namespace hartonomous
