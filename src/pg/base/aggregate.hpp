// Aggregate states that are C++ objects: made in the aggregate's memory context, destroyed with it.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

// The memory context an aggregate's state lives in; error when called as an ordinary function.
inline MemoryContext aggregate_context(FunctionCallInfo fcinfo) {
  MemoryContext context = nullptr;
  if (AggCheckCallContext(fcinfo, &context) == 0) {
    throw error(sqlstate::invalid_parameter_value, "aggregate support function called outside an aggregate");
  }
  return context;
}

// A new State(arguments...) that the context's reset or deletion destroys.
template <class State, class... Arguments>
State* make_state(MemoryContext context, Arguments... arguments) {
  // The callback's memory first: once the object exists nothing may fail before it is registered.
  auto* callback = static_cast<MemoryContextCallback*>(
      call([&] { return MemoryContextAlloc(context, sizeof(MemoryContextCallback)); }));
  auto* state = new State(arguments...);
  callback->func = [](void* p) { delete static_cast<State*>(p); };
  callback->arg = state;
  MemoryContextRegisterResetCallback(context, callback);
  return state;
}

template <class State>
State* state_argument(FunctionCallInfo fcinfo, int i) {
  return PG_ARGISNULL(i) ? nullptr : reinterpret_cast<State*>(PG_GETARG_POINTER(i));
}

}  // namespace hartonomous::pg
