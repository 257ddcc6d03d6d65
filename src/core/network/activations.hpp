// Activations that cannot be computed with (inside src/core only).
#pragma once

#include <string>

#include "hartonomous/error.hpp"

namespace hartonomous::network_detail {

// Error 55000: the input or output, as `side` says, of the tensor is not finite.
[[noreturn]] void refuse_activations(const char* side, const std::string& tensor,
                                     source_location thrown = source_location::current());

}  // namespace hartonomous::network_detail
