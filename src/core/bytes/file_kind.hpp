// What a file is that a reader of models was given by mistake.
#pragma once

#include <string>

#include "hartonomous/bytes.hpp"

namespace hartonomous {

struct file_kind {
  const char* name = nullptr;  // as in "the file is a web page"; nullptr: not recognized
  const char* hint = "";       // what to do about it; may be empty
};

// By the first bytes alone, so that it is no proof: a reader asks once it knows that the file is none of its own.
file_kind recognize_file(byte_source& source);

// Throws error 22P03 with a message as in "GGUF: the file is a web page, not a GGUF file" when the file is recognized.
void refuse_recognized(byte_source& source, const std::string& reader, const std::string& detail);

}  // namespace hartonomous
