// Functions that fail on purpose, for test/tap/boundary.t: each error crosses the boundary (src/pg/base/boundary.hpp)
// above live C++ objects, which are counted in and out.
#include "pg/base/boundary.hpp"
#include "pg/base/interrupts.hpp"

#include <cstddef>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"

extern "C" {
#pragma GCC visibility push(default)
PG_MODULE_MAGIC;
#pragma GCC visibility pop
}

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

std::int64_t constructed = 0;
std::int64_t destroyed = 0;

// What a jump past the destructor would leak: 1 MB, touched, and one count.
class ballast {
 public:
  ballast() : bytes_(std::size_t{1} << 20, 'b') { ++constructed; }
  ballast(const ballast&) = delete;
  ballast& operator=(const ballast&) = delete;
  ~ballast() { ++destroyed; }
  std::size_t size() const { return bytes_.size(); }

 private:
  std::vector<char> bytes_;
};

std::string text_argument(FunctionCallInfo fcinfo, int number) {
  const Datum value = PG_GETARG_DATUM(number);
  char* chars = call([&] { return TextDatumGetCString(value); });
  std::string result = chars;
  pfree(chars);
  return result;
}

// Throws for its callers, as the core's helpers do.
[[noreturn]] void refuse(const char* message, source_location thrown = source_location::current()) {
  throw error(sqlstate::invalid_parameter_value, message, {}, {}, thrown);
}

[[noreturn]] void throw_kind(std::string_view kind) {
  if (kind == "error")
    throw error(sqlstate::invalid_binary_representation, "an error of the core", "Its detail.", "Its hint.");
  if (kind == "plain") throw error(sqlstate::program_limit_exceeded, "an error without detail or hint");
  if (kind == "helper") refuse("an error of a helper");
  if (kind == "bad_alloc") throw std::bad_alloc();
  if (kind == "runtime_error") throw std::runtime_error("a runtime error");
  if (kind == "length_error") std::string().resize(std::string().max_size() + 1);
  if (kind == "int") throw 42;
  if (kind == "long") {
    std::string text;
    for (int i = 0; i < 4000; ++i) text += "\u00e9";
    throw error(sqlstate::invalid_parameter_value, "x" + text, text, text);
  }
  throw error(sqlstate::invalid_parameter_value, "unknown kind of failure", std::string(kind));
}

// PostgreSQL's own error, with everything that must survive.
void report() {
  ereport(ERROR, (errcode(ERRCODE_DIVISION_BY_ZERO), errmsg("an error of the server"), errdetail("Its detail."),
                  errhint("Its hint.")));
}

// Runs f in a subtransaction, as only there an error may be swallowed. The error's SQLSTATE, or null.
template <class F>
const char* swallow(F&& f) {
  const ResourceOwner owner = CurrentResourceOwner;
  call([] { BeginInternalSubTransaction(nullptr); });
  const char* state = nullptr;
  try {
    const ballast live;
    f();
  } catch (const pg_error& e) {
    state = unpack_sql_state(e.data()->sqlerrcode);
    FreeErrorData(e.data());
  }
  call([&] {
    if (state == nullptr) {
      ReleaseCurrentSubTransaction();
    } else {
      RollbackAndReleaseCurrentSubTransaction();
    }
  });
  CurrentResourceOwner = owner;
  return state;
}

}  // namespace

// boundary_throw(kind text): C++ to PostgreSQL.
HARTONOMOUS_FUNCTION(boundary_throw) {
  const ballast outer;
  const std::string kind = text_argument(fcinfo, 0);
  const ballast inner;
  throw_kind(kind);
}

// boundary_ereport(): PostgreSQL to C++, and, rethrown by entry(), back.
HARTONOMOUS_FUNCTION(boundary_ereport) {
  const ballast outer;
  const ballast inner;
  call([] { report(); });
  PG_RETURN_VOID();
}

// boundary_rethrow(): caught on its way by C++ that has something to tidy up, and sent on.
HARTONOMOUS_FUNCTION(boundary_rethrow) {
  const ballast outer;
  try {
    const ballast inner;
    call([] { report(); });
  } catch (const pg_error&) {
    const ballast tidying;
    throw;
  }
  PG_RETURN_VOID();
}

// boundary_translate(): an error of the server replaced by one of the core.
HARTONOMOUS_FUNCTION(boundary_translate) {
  const ballast outer;
  try {
    call([] { report(); });
  } catch (const pg_error& e) {
    throw error(sqlstate::invalid_parameter_value, std::string("because of: ") + e.what());
  }
  PG_RETURN_VOID();
}

// boundary_swallow(query text): the SQLSTATE of what the query raises, or null; the transaction goes on.
HARTONOMOUS_FUNCTION(boundary_swallow) {
  const std::string query = text_argument(fcinfo, 0);
  const char* state = swallow([&] {
    call([&] {
      if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
      if (SPI_execute(query.c_str(), false, 0) < 0) elog(ERROR, "SPI_execute failed");
      SPI_finish();
    });
  });
  if (state == nullptr) PG_RETURN_NULL();
  return call([&] { return CStringGetTextDatum(state); });
}

// boundary_nest(depth int, kind text): as many crossings in both directions as depth says, then the failure; null
// for an ereport.
HARTONOMOUS_FUNCTION(boundary_nest) {
  const ballast live;
  const std::int32_t depth = PG_GETARG_INT32(0);
  const Datum kind = PG_GETARG_DATUM(1);
  if (depth <= 0) {
    const std::string name = text_argument(fcinfo, 1);
    if (name == "ereport") call([] { report(); });
    throw_kind(name);
  }
  PG_RETURN_DATUM(call([&] { return DirectFunctionCall2(boundary_nest, Int32GetDatum(depth - 1), kind); }));
}

// boundary_stacks_kept(): whether PostgreSQL's stacks and its memory context are as before after each way out of
// call(), that of success included: SPI's functions leave its own memory context as the current one.
HARTONOMOUS_FUNCTION(boundary_stacks_kept) {
  sigjmp_buf* const exceptions = PG_exception_stack;
  ErrorContextCallback* const contexts = error_context_stack;
  const MemoryContext context = CurrentMemoryContext;
  bool kept = true;
  const auto check = [&] {
    kept =
        kept && PG_exception_stack == exceptions && error_context_stack == contexts && CurrentMemoryContext == context;
  };
  call([] { MemoryContextSwitchTo(TopMemoryContext); });
  check();
  call([] {
    if (SPI_connect() != SPI_OK_CONNECT) elog(ERROR, "SPI_connect failed");
  });
  check();
  call([] {
    if (SPI_execute("SELECT 1", true, 0) != SPI_OK_SELECT) elog(ERROR, "SPI_execute failed");
  });
  check();
  call([] { SPI_finish(); });
  check();
  try {
    call([] {
      MemoryContextSwitchTo(TopMemoryContext);
      throw_kind("plain");
    });
  } catch (const error&) {
  }
  check();
  swallow([] {
    call([] {
      ErrorContextCallback callback = {error_context_stack, [](void*) {}, nullptr};
      error_context_stack = &callback;
      MemoryContextSwitchTo(TopMemoryContext);
      report();
    });
  });
  check();
  PG_RETURN_BOOL(kept);
}

// boundary_objects(): how many objects were made and not destroyed; 0 unless an error jumped over one.
HARTONOMOUS_FUNCTION(boundary_objects) { PG_RETURN_INT64(constructed - destroyed); }

// boundary_destroyed(): destructors run so far.
HARTONOMOUS_FUNCTION(boundary_destroyed) { PG_RETURN_INT64(destroyed); }

// boundary_quantize(format text, count bigint, times int): calls of the core that last.
HARTONOMOUS_FUNCTION(boundary_quantize) {
  const ballast live;
  const std::string name = text_argument(fcinfo, 0);
  const format_traits* traits = find_format(name.data(), name.size());
  if (traits == nullptr) throw error(sqlstate::invalid_parameter_value, "unknown format " + name);
  std::vector<float> values(static_cast<std::size_t>(PG_GETARG_INT64(1)));
  std::uint32_t random = 1;
  for (float& value : values) {
    random = random * 1664525u + 1013904223u;
    value = static_cast<float>(random >> 8) * 0x1p-23f - 1.0f;
  }
  std::vector<std::byte> blocks(bytes_of(traits->id, values.size()));
  backend_interrupts interrupts;
  for (std::int32_t i = 0; i < PG_GETARG_INT32(2); ++i) quantize(traits->id, values, {}, blocks.data(), interrupts);
  PG_RETURN_INT64(static_cast<std::int64_t>(blocks.size()));
}
