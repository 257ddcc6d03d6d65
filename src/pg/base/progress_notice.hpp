// Progress of long work as a message to the client.
#pragma once

#include "pg/base/boundary.hpp"

#include <string>

namespace hartonomous::pg {

// As a NOTICE if a report is due, else at DEBUG1. ereport would carry out a pending termination and exit the process;
// the next interrupt check makes it an error instead.
inline void notice_progress(bool due, const std::string& text) {
  call([&] {
    HOLD_INTERRUPTS();
    ereport(due ? NOTICE : DEBUG1, (errmsg_internal("%s", text.c_str())));
    RESUME_INTERRUPTS();
  });
}

}  // namespace hartonomous::pg
