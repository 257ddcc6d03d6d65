// The core's check for interrupts, done as PostgreSQL does it.
#pragma once

#include "pg/base/boundary.hpp"

#include "hartonomous/interrupt.hpp"

namespace hartonomous::pg {

// Lets PostgreSQL act on whatever is pending (a cancel, a timeout, a termination, a barrier). Its error comes
// out as pg_error, so the core unwinds and the client sees PostgreSQL's own message.
class backend_interrupts final : public interrupt_checker {
 public:
  void check() override {
    if (!INTERRUPTS_PENDING_CONDITION()) return;
    // A termination would end the process from in here, beneath threads that are still at work on its memory. As an
    // error it ends them first; entry() then terminates.
    if ((ProcDiePending || ClientConnectionLost) && INTERRUPTS_CAN_BE_PROCESSED()) {
      throw error(sqlstate::admin_shutdown,
                  ProcDiePending ? "terminating connection due to administrator command" : "connection to client lost");
    }
    call([] { CHECK_FOR_INTERRUPTS(); });
  }
};

}  // namespace hartonomous::pg
