// The boundary between PostgreSQL's long jumps and C++ exceptions. No other file uses setjmp.
//
// entry() turns a C++ exception into an ereport, which is raised after the catch block has ended, so that it does not
// jump over C++ objects. call() turns an ereport into a C++ exception; no frame between it and the ereport may own
// anything. Rules: every exported function is `return entry(fcinfo, body)`; every PostgreSQL call that can ereport is
// wrapped in call(); destructors never call PostgreSQL functions that can fail.
#pragma once

#include "pg/base/error_context.hpp"
#include "pg/base/postgres.hpp"

#include <cstring>
#include <exception>
#include <new>
#include <type_traits>

#include "hartonomous/error.hpp"

namespace hartonomous::pg {

// An ereport that propagates through C++ frames. It owns nothing: the ErrorData is in the caller's memory context.
class pg_error final : public std::exception {
 public:
  explicit pg_error(ErrorData* data) noexcept : data_(data) {}
  const char* what() const noexcept override { return data_->message != nullptr ? data_->message : "unknown error"; }
  ErrorData* data() const noexcept { return data_; }

 private:
  ErrorData* data_;
};

// Is an object of the frame that calls sigsetjmp, so that it is intact after a long jump. However the called function
// leaves, it restores PostgreSQL's error stacks and the memory context. SPI functions leave a memory context of their
// own as the current one; it is deleted at the end of the SPI session, together with all that C++ would allocate in it.
struct state_guard {
  sigjmp_buf* const exceptions = PG_exception_stack;
  ErrorContextCallback* const contexts = error_context_stack;
  const MemoryContext memory = CurrentMemoryContext;
  state_guard() = default;
  state_guard(const state_guard&) = delete;
  state_guard& operator=(const state_guard&) = delete;
  ~state_guard() {
    PG_exception_stack = exceptions;
    error_context_stack = contexts;
    MemoryContextSwitchTo(memory);
  }
};

// Runs f, which may ereport; an ERROR is thrown as pg_error. f must not create objects with destructors. The memory
// context is restored afterwards.
template <class F>
auto call(F&& f) -> decltype(f()) {
  using result = decltype(f());
  static_assert(std::is_void_v<result> || std::is_trivially_destructible_v<result>,
                "the result of call() is jumped over when f raises an error");
  {
    state_guard guard;
    sigjmp_buf here;
    if (sigsetjmp(here, 0) == 0) {
      PG_exception_stack = &here;
      return f();
    }
  }
  ErrorData* const data = CopyErrorData();
  FlushErrorState();
  throw pg_error(data);
}

// Copies as much of a UTF-8 text as fits, without splitting a character.
inline void copy_text(char* to, std::size_t size, const char* from) noexcept {
  if (strlcpy(to, from, size) < size) return;
  std::size_t end = size - 1;
  while (end > 0 && (static_cast<unsigned char>(from[end]) & 0xC0) == 0x80) --end;
  to[end] = '\0';
}

// What outlives a catch block: plain memory only, so that ereport may jump over it.
struct caught_error {
  ErrorData* original = nullptr;
  int sqlstate = 0;
  source_location thrown = source_location::current();
  char message[1024];
  char detail[1024];
  char hint[512];

  void set(int code, const char* text) noexcept {
    sqlstate = code;
    copy_text(message, sizeof message, text);
  }
  void set(const error& e) noexcept {
    const char* s = e.state();
    set(MAKE_SQLSTATE(s[0], s[1], s[2], s[3], s[4]), e.what());
    thrown = e.thrown();
    copy_text(detail, sizeof detail, e.detail().c_str());
    copy_text(hint, sizeof hint, e.hint().c_str());
  }
};

[[noreturn]] inline void raise(const caught_error& caught) {
  // A request to terminate the session arrived here as an error (interrupts.hpp). It can now be carried out: the C++
  // frames of this function are gone, and functions that called it through SQL have no threads running meanwhile.
  if (ProcDiePending || ClientConnectionLost) CHECK_FOR_INTERRUPTS();
  if (caught.original != nullptr) ReThrowError(caught.original);
  leave_out_own_context(caught.sqlstate);
  // The steps of an ereport, but with the file and line of the throw.
  if (errstart(ERROR, TEXTDOMAIN)) {
    errcode(caught.sqlstate);
    errmsg_internal("%s", caught.message);
    if (caught.detail[0] != '\0') errdetail_internal("%s", caught.detail);
    if (caught.hint[0] != '\0') errhint("%s", caught.hint);
    errfinish(caught.thrown.file, caught.thrown.line, caught.thrown.function);
  }
  pg_unreachable();
}

// What must be checked before a function runs, and may throw; null if nothing must. See pg/base/version.hpp.
inline void (*check_before_entry)() = nullptr;

// The body of every function that SQL can call: f(fcinfo) may throw anything. Without `checked` it runs whatever
// check_before_entry would say.
template <bool checked = true, class F>
Datum entry(FunctionCallInfo fcinfo, F&& f) {
  caught_error caught;
  caught.detail[0] = caught.hint[0] = '\0';
  try {
    if (checked && check_before_entry != nullptr) check_before_entry();
    return f(fcinfo);
  } catch (const pg_error& e) {
    caught.original = e.data();
  } catch (const error& e) {
    caught.set(e);
  } catch (const std::bad_alloc&) {
    caught.set(ERRCODE_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& e) {
    caught.set(ERRCODE_INTERNAL_ERROR, e.what());
  } catch (...) {
    caught.set(ERRCODE_INTERNAL_ERROR, "unknown C++ exception");
  }
  raise(caught);
}

}  // namespace hartonomous::pg

// Declares a function for fmgr whose body is `Datum NAME##_body(FunctionCallInfo)`. PG_FUNCTION_INFO_V1 of PostgreSQL
// 15 does not ask for default visibility, and the module hides everything else.
#define HARTONOMOUS_FUNCTION(name) HARTONOMOUS_CHECKED_FUNCTION(name, true)

// The same for a function on which the values or the columns of tables depend. It does not change between versions, and
// also runs before ALTER EXTENSION UPDATE, so that a database can be dumped then.
#define HARTONOMOUS_STORED_FUNCTION(name) HARTONOMOUS_CHECKED_FUNCTION(name, false)

#define HARTONOMOUS_CHECKED_FUNCTION(name, checked)                                             \
  static Datum name##_body(FunctionCallInfo fcinfo);                                            \
  extern "C" {                                                                                  \
  __attribute__((visibility("default"))) Datum name(PG_FUNCTION_ARGS);                          \
  __attribute__((visibility("default"))) const Pg_finfo_record* pg_finfo_##name(void);          \
  const Pg_finfo_record* pg_finfo_##name(void) {                                                \
    static const Pg_finfo_record record = {1};                                                  \
    return &record;                                                                             \
  }                                                                                             \
  Datum name(PG_FUNCTION_ARGS) { return hartonomous::pg::entry<checked>(fcinfo, name##_body); } \
  }                                                                                             \
  static Datum name##_body([[maybe_unused]] FunctionCallInfo fcinfo)
