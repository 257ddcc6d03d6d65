// A sensitivity probe that the session keeps between calls, so that the states of the original model are computed once
// (sql/internal/sensitivity.sql).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "hartonomous/sensitivity.hpp"

namespace hartonomous::pg {

// Takes the probe that the session keeps, if it has the key; otherwise makes a new one. The key names whatever its
// states depend on.
std::unique_ptr<sensitivity_probe> take_probe(const std::string& key,
                                              const std::function<std::unique_ptr<sensitivity_probe>()>& make);

// Keeps it for the next call. The end of a transaction that fails frees it.
void keep_probe(const std::string& key, std::unique_ptr<sensitivity_probe> probe);

}  // namespace hartonomous::pg
