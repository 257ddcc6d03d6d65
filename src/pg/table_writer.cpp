// Bulk insert (table_writer.hpp).
#include "pg/table_writer.hpp"

#include <cstring>

extern "C" {
#include "executor/nodeModifyTable.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/utility.h"
#include "utils/rls.h"
}

namespace hartonomous::pg {
namespace {

void check_target(Relation relation) {
  const Oid table = RelationGetRelid(relation);
  const AclResult allowed = pg_class_aclcheck(table, GetUserId(), ACL_INSERT);
  if (allowed != ACLCHECK_OK) aclcheck_error(allowed, OBJECT_TABLE, RelationGetRelationName(relation));
  if (relation->rd_rel->relkind != RELKIND_RELATION) {
    ereport(ERROR, (errcode(ERRCODE_WRONG_OBJECT_TYPE),
                    errmsg("\"%s\" is not an ordinary table", RelationGetRelationName(relation))));
  }
  if (check_enable_rls(table, InvalidOid, false) == RLS_ENABLED) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("cannot write atoms to table \"%s\" with row-level security", RelationGetRelationName(relation))));
  }
  if (!relation->rd_islocaltemp) PreventCommandIfReadOnly("INSERT");
}

}  // namespace

void table_writer::open(Oid table) {
  relation_ = table_open(table, RowExclusiveLock);
  check_target(relation_);
  estate_ = CreateExecutorState();
  MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
  result_ = makeNode(ResultRelInfo);
  InitResultRelInfo(result_, relation_, 0, nullptr, 0);  // of no range table: it has no query
  // None, ordinarily. A tensor that is copied once more before the swap finds them there.
  ExecOpenIndices(result_, false);
  bulk_ = GetBulkInsertState();
  // Both assigned here: rows may come from a parallel query, during which neither can be.
  GetCurrentTransactionId();
  command_ = GetCurrentCommandId(true);
  // A table made in this transaction has no free space worth looking for.
  if (relation_->rd_createSubid != InvalidSubTransactionId) options_ = TABLE_INSERT_SKIP_FSM;
  batch_context_ = AllocSetContextCreate(estate_->es_query_cxt, "rows to be written", ALLOCSET_DEFAULT_SIZES);
  slots_ = static_cast<TupleTableSlot**>(palloc0(sizeof(TupleTableSlot*) * batch_rows));
  const Size columns = sizeof(column_value) * static_cast<std::size_t>(descriptor()->natts);
  defaults_ = static_cast<column_value*>(palloc(columns));
  generated_ = static_cast<column_value*>(palloc(columns));
  for (int i = 0; i < descriptor()->natts; ++i) {
    if (TupleDescAttr(descriptor(), i)->attgenerated != ATTRIBUTE_GENERATED_STORED) continue;
    auto* expression = reinterpret_cast<Expr*>(build_column_default(relation_, i + 1));
    generated_[generated_count_++] = {i, ExecPrepareExpr(expression, estate_)};
  }
  MemoryContextSwitchTo(previous);
}

int table_writer::position_of(const char* column, Oid type) const {
  const AttrNumber number = get_attnum(RelationGetRelid(relation_), column);
  if (number == InvalidAttrNumber) {
    ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                    errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(relation_), column)));
  }
  require_type(number - 1, type, -1);
  return number - 1;
}

void table_writer::require_type(int position, Oid type, int32 modifier) const {
  const Form_pg_attribute attribute = TupleDescAttr(descriptor(), position);
  if (attribute->atttypid == type && (attribute->atttypmod == -1 || attribute->atttypmod == modifier)) return;
  ereport(ERROR, (errcode(ERRCODE_DATATYPE_MISMATCH),
                  errmsg("column \"%s\" of table \"%s\" is of type %s", NameStr(attribute->attname),
                         RelationGetRelationName(relation_),
                         format_type_with_typemod(attribute->atttypid, attribute->atttypmod)),
                  errdetail("The values to be written are of type %s.", format_type_with_typemod(type, modifier))));
}

void table_writer::use_default(int position) {
  auto* expression = reinterpret_cast<Expr*>(build_column_default(relation_, position + 1));
  if (expression == nullptr) return;  // NULL, then
  MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
  defaults_[default_count_].column = position;
  defaults_[default_count_].expression = ExecPrepareExpr(expression, estate_);
  ++default_count_;
  MemoryContextSwitchTo(previous);
}

void table_writer::keep_generated(int position) {
  int kept = 0;
  for (int i = 0; i < generated_count_; ++i) {
    if (generated_[i].column != position) generated_[kept++] = generated_[i];
  }
  generated_count_ = kept;
}

TupleTableSlot* table_writer::begin_row() {
  if (slots_[filled_] == nullptr) {
    MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
    slots_[filled_] = table_slot_create(relation_, nullptr);
    MemoryContextSwitchTo(previous);
  }
  TupleTableSlot* slot = ExecClearTuple(slots_[filled_]);
  std::memset(slot->tts_isnull, true, static_cast<std::size_t>(descriptor()->natts) * sizeof(bool));
  return slot;
}

void table_writer::compute(TupleTableSlot* slot, int column, ExprState* expression) {
  slot->tts_values[column] =
      ExecEvalExprSwitchContext(expression, GetPerTupleExprContext(estate_), &slot->tts_isnull[column]);
}

void table_writer::store_row(Size bytes) {
  TupleTableSlot* slot = slots_[filled_];
  ResetPerTupleExprContext(estate_);
  GetPerTupleExprContext(estate_)->ecxt_scantuple = slot;
  for (int i = 0; i < default_count_; ++i) compute(slot, defaults_[i].column, defaults_[i].expression);
  ExecStoreVirtualTuple(slot);
  // None depends on another, so their order does not matter.
  for (int i = 0; i < generated_count_; ++i) compute(slot, generated_[i].column, generated_[i].expression);
  ExecMaterializeSlot(slot);  // a copy of all values, in the slot's own memory
  if (descriptor()->constr != nullptr) ExecConstraints(result_, slot, estate_);
  ++filled_;
  ++rows_;
  filled_bytes_ += bytes;
  if (filled_ == batch_rows || filled_bytes_ >= batch_bytes) flush();
}

void table_writer::flush() {
  if (filled_ == 0) return;
  table_multi_insert(relation_, slots_, filled_, command_, options_, bulk_);
  for (int i = 0; i < filled_; ++i) {
    if (result_->ri_NumIndices > 0) insert_index_tuples(result_, slots_[i], estate_);
    ExecClearTuple(slots_[i]);
  }
  filled_ = 0;
  filled_bytes_ = 0;
  MemoryContextReset(batch_context_);
}

void table_writer::close() {
  flush();
  table_finish_bulk_insert(relation_, options_);
  FreeBulkInsertState(bulk_);
  ExecCloseIndices(result_);
  for (int i = 0; i < batch_rows && slots_[i] != nullptr; ++i) ExecDropSingleTupleTableSlot(slots_[i]);
  table_close(relation_, NoLock);
  FreeExecutorState(estate_);
}

}  // namespace hartonomous::pg
