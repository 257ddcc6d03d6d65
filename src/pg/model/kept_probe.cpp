// Keeping a sensitivity probe between calls (kept_probe.hpp).
#include "pg/model/kept_probe.hpp"

#include "pg/base/boundary.hpp"

#include <utility>

extern "C" {
#include "access/xact.h"
}

namespace hartonomous::pg {
namespace {

struct kept {
  std::string key;
  std::unique_ptr<sensitivity_probe> probe;
};

// Never destroyed, because the process exits without unwinding.
kept& kept_by_session() {
  static auto* const of_session = new kept;
  return *of_session;
}

void forget_after_abort(XactEvent event, void*) {
  if (event == XACT_EVENT_ABORT) kept_by_session().probe.reset();
}

}  // namespace

std::unique_ptr<sensitivity_probe> take_probe(const std::string& key,
                                              const std::function<std::unique_ptr<sensitivity_probe>()>& make) {
  std::unique_ptr<sensitivity_probe> probe = std::move(kept_by_session().probe);
  if (probe == nullptr || kept_by_session().key != key) probe = make();
  return probe;
}

void keep_probe(const std::string& key, std::unique_ptr<sensitivity_probe> probe) {
  static const bool registered = [] {
    call([] { RegisterXactCallback(forget_after_abort, nullptr); });
    return true;
  }();
  static_cast<void>(registered);
  kept_by_session() = {key, std::move(probe)};
}

}  // namespace hartonomous::pg
