// Shared parts of the safetensors reader and header_matches().
#pragma once

#include <string_view>
#include <vector>

#include "hartonomous/safetensors.hpp"

namespace hartonomous::safetensors_detail {

struct parsed_header {
  std::vector<safetensors_tensor> tensors;  // by offset, which here is relative to the end of the header
  safetensors_metadata metadata;
};

// Parses the JSON of a header and makes all checks except that the data fills the file. Error 22P03.
parsed_header parse_header(std::string_view json, interrupt_checker& interrupts);

}  // namespace hartonomous::safetensors_detail
