// The core's interrupt callback as PostgreSQL understands it.
#pragma once

#include "pg/boundary.hpp"

#include "hartonomous/interrupt.hpp"

namespace hartonomous::pg {

// Lets PostgreSQL act on whatever is pending (a cancel, a timeout, a termination, a barrier). Its error comes
// out as pg_error, so the core unwinds and the client sees PostgreSQL's own message.
class backend_interrupt final : public interrupt {
 public:
  void poll() override {
    if (INTERRUPTS_PENDING_CONDITION()) {
      call([] { CHECK_FOR_INTERRUPTS(); });
    }
  }
};

}  // namespace hartonomous::pg
