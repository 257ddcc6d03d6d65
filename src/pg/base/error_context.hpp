// The CONTEXT of an error: of the functions and statements it came through, the caller's own.
//
// What a user did wrong is said by message, detail and hint. Which functions of the extension noticed it, and in which
// statements of theirs, would fill a screen between that message and the prompt and tells a user nothing. So an error
// that the extension raises leaves out its own functions and whatever they ran; functions of the user's that called
// them stay. Everything is shown at client_min_messages or log_min_messages debug1, and always of internal errors.
#pragma once

#include "pg/base/postgres.hpp"

#include <algorithm>
#include <string_view>

namespace hartonomous::pg {

// Whether a line of context is about a function of the extension, or a statement that calls one. PL/pgSQL qualifies
// names of functions by their schema unless the search_path finds them; words around the name are translated.
inline bool is_own_context(std::string_view line) {
  const std::string_view head = line.substr(0, line.find('('));
  for (const std::string_view schema : {"hartonomous.", "hartonomous_internal."}) {
    if (head.find(schema) != std::string_view::npos) return true;
  }
  return false;
}

// The frames outside of the outermost own one; all of them when there is none. May ereport.
inline ErrorContextCallback* callers_context() {
  ErrorContextCallback* const whole = error_context_stack;
  ErrorContextCallback* kept = whole;
  for (ErrorContextCallback* frame = whole; frame != nullptr; frame = frame->previous) {
    ErrorContextCallback alone = *frame;
    alone.previous = nullptr;
    error_context_stack = &alone;
    const char* line = GetErrorContextStack();
    error_context_stack = whole;
    if (line != nullptr && is_own_context(line)) kept = frame->previous;
  }
  return kept;
}

// To be called right before the ereport; whoever catches the error puts the stack back.
inline void leave_out_own_context(int sqlstate) {
  if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTERNAL_ERROR || message_level_is_interesting(DEBUG1)) return;
  error_context_stack = callers_context();
}

}  // namespace hartonomous::pg
