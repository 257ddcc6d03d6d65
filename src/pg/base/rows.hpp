// Set-returning functions: collecting rows in a tuplestore.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

// Collects the result rows of the called SQL function, which is declared with RETURNS TABLE.
class result_rows {
 public:
  explicit result_rows(FunctionCallInfo fcinfo) {
    call([&] { open(fcinfo); });
  }
  void add(const Datum* values, const bool* nulls) {
    call([&] { tuplestore_putvalues(store_, desc_, const_cast<Datum*>(values), const_cast<bool*>(nulls)); });
  }

 private:
  void open(FunctionCallInfo fcinfo) {
    auto* info = reinterpret_cast<ReturnSetInfo*>(fcinfo->resultinfo);
    if (info == nullptr || !IsA(info, ReturnSetInfo) || (info->allowedModes & SFRM_Materialize) == 0) {
      ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                      errmsg("set-valued function called in context that cannot accept a set")));
    }
    const MemoryContext previous = MemoryContextSwitchTo(info->econtext->ecxt_per_query_memory);
    TupleDesc desc;
    if (get_call_result_type(fcinfo, nullptr, &desc) != TYPEFUNC_COMPOSITE) elog(ERROR, "row type expected");
    desc_ = CreateTupleDescCopy(desc);
    store_ = tuplestore_begin_heap((info->allowedModes & SFRM_Materialize_Random) != 0, false, work_mem);
    info->returnMode = SFRM_Materialize;
    info->setResult = store_;
    info->setDesc = desc_;
    MemoryContextSwitchTo(previous);
  }

  TupleDesc desc_ = nullptr;
  Tuplestorestate* store_ = nullptr;
};

}  // namespace hartonomous::pg
