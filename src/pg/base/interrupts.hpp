// Implements the core's interrupt check with PostgreSQL's interrupt handling.
#pragma once

#include "pg/base/boundary.hpp"

#include "hartonomous/interrupt.hpp"

namespace hartonomous::pg {

// Lets PostgreSQL process pending interrupts (a cancel, a timeout, a termination, a barrier). Its error is thrown as
// pg_error, so that the core unwinds and the client sees PostgreSQL's own message.
class backend_interrupts final : public interrupt_checker {
 public:
  void check() override {
    if (!INTERRUPTS_PENDING_CONDITION()) return;
    // A termination would exit the process here, while threads still work on its memory. It is turned into an error,
    // which ends the threads first; entry() then terminates the session.
    if ((ProcDiePending || ClientConnectionLost) && INTERRUPTS_CAN_BE_PROCESSED()) {
      throw error(sqlstate::admin_shutdown,
                  ProcDiePending ? "terminating connection due to administrator command" : "connection to client lost");
    }
    call([] { CHECK_FOR_INTERRUPTS(); });
  }
};

}  // namespace hartonomous::pg
