// Aggregate states that are C++ objects: created in the aggregate's memory context and destroyed with it.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

// The memory context of an aggregate's state; an error if the function was called outside an aggregate.
inline MemoryContext aggregate_context(FunctionCallInfo fcinfo) {
  MemoryContext context = nullptr;
  if (AggCheckCallContext(fcinfo, &context) == 0) {
    throw error(sqlstate::invalid_parameter_value, "aggregate support function called outside an aggregate");
  }
  return context;
}

// Creates a State(arguments...) that is destroyed when the context is reset or deleted.
template <class State, class... Arguments>
State* make_state(MemoryContext context, Arguments... arguments) {
  // The callback is allocated first: once the object exists, nothing may fail before the callback is registered.
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
