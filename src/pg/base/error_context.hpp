// Removes the extension's own functions from the CONTEXT of an error, leaving those of the caller.
//
// A user's mistake is explained by message, detail and hint. The functions of the extension that noticed it, and their
// statements, would put a screenful of context after that message that does not help the user. So an error raised by
// the extension omits the extension's functions and whatever these ran; the user's own functions are kept. The whole
// context is shown if client_min_messages or log_min_messages is debug1, and always for internal errors.
#pragma once

#include "pg/base/postgres.hpp"

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <string_view>

namespace hartonomous::pg {

// Whether a line of context belongs to a function of the extension or to a statement that calls one. PL/pgSQL qualifies
// function names with their schema unless the search_path finds them; the words around the name are localized.
inline bool is_own_context(std::string_view line) {
  const std::string_view head = line.substr(0, line.find('('));
  const auto in_name = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return std::isalnum(byte) || byte == '_' || byte == '$' || byte >= 0x80;
  };
  for (const std::string_view schema : {"hartonomous.", "hartonomous_internal."}) {
    for (std::size_t at = head.find(schema); at != std::string_view::npos; at = head.find(schema, at + 1)) {
      if (at == 0 || !in_name(head[at - 1])) return true;  // otherwise the end of another schema's name
    }
  }
  return false;
}

// The frames outside the outermost frame of the extension; all frames if there is none. May ereport.
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

// To be called right before the ereport; whoever catches the error restores the stack.
inline void leave_out_own_context(int sqlstate) {
  if (ERRCODE_TO_CATEGORY(sqlstate) == ERRCODE_INTERNAL_ERROR || message_level_is_interesting(DEBUG1)) return;
  error_context_stack = callers_context();
}

}  // namespace hartonomous::pg
