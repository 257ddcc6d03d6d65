// Recognizes files that are not models, to give a helpful error message.
#pragma once

#include <string>

#include "hartonomous/bytes.hpp"

namespace hartonomous {

struct file_kind {
  const char* name = nullptr;  // as in "the file is a web page"; nullptr: not recognized
  const char* hint = "";       // what to do about it; may be empty
};

// This looks only at the first bytes, so it proves nothing: call it once it is known that the file is not the expected
// one.
file_kind recognize_file(byte_source& source);

// If the file is recognized, throws error 22P03 with a message like "GGUF: the file is a web page, not a GGUF file".
void refuse_recognized(byte_source& source, const std::string& reader, const std::string& detail);

}  // namespace hartonomous
