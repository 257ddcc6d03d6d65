// Members of config.json that nothing here reads.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/json.hpp"
#include "network/architecture.hpp"

namespace hartonomous::checkpoint_detail {

// Error 0A000 for a member that is known to change the network in a way that is not supported, unless its value changes
// nothing. Returns the names of members that are not known, which may change it.
std::vector<std::string> check_members(const json& config, const network_architecture& architecture);

}  // namespace hartonomous::checkpoint_detail
