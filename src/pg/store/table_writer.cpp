// Bulk insert (table_writer.hpp).
#include "pg/store/table_writer.hpp"

#include "pg/store/atoms_partition.hpp"

#include <cstring>

extern "C" {
#include "access/heaptoast.h"
#include "catalog/partition.h"
#include "executor/nodeModifyTable.h"
#include "rewrite/rewriteHandler.h"
#include "tcop/utility.h"
#include "utils/rls.h"
#include "utils/syscache.h"
}

namespace hartonomous::pg {
namespace {

bool has_bound(Relation relation) {
  const TupleConstr* constraints = RelationGetDescr(relation)->constr;
  const char* wanted = psprintf("%s_bound", RelationGetRelationName(relation));
  for (int i = 0; constraints != nullptr && i < constraints->num_check; ++i) {
    const ConstrCheck& check = constraints->check[i];
    if (check.ccvalid && std::strcmp(check.ccname, wanted) == 0) return true;
  }
  return false;
}

// Whether the table is what create_atoms_partition() makes for the model and the revision, attached or not.
bool is_partition_of_store(Relation relation, std::int32_t model, std::int32_t revision) {
  const Oid table = RelationGetRelid(relation), schema = get_namespace_oid("hartonomous", true);
  if (relation->rd_rel->relkind != RELKIND_RELATION || table != atoms_partition(model, revision)) return false;
  const Oid parent = relation->rd_rel->relispartition ? get_partition_parent(table, true) : InvalidOid;
  const Oid atoms = get_relname_relid("tensor_atoms", schema), kept = get_relname_relid("tensor_atoms_backup", schema);
  if (OidIsValid(parent) && parent != atoms && parent != kept) return false;
  HeapTuple row = SearchSysCache1(RELOID, ObjectIdGetDatum(atoms));
  if (!HeapTupleIsValid(row)) return false;
  const Oid owner = reinterpret_cast<Form_pg_class>(GETSTRUCT(row))->relowner;
  ReleaseSysCache(row);
  return relation->rd_rel->relowner == owner && has_bound(relation);
}

bool fires_on_insert(const TriggerDesc* triggers) {
  return triggers != nullptr && (triggers->trig_insert_before_row || triggers->trig_insert_after_row ||
                                 triggers->trig_insert_before_statement || triggers->trig_insert_after_statement);
}

// Anyone who has the INSERT privilege may write atoms, unless this would bypass something that an INSERT executes.
void check_target(Relation relation, std::int32_t model, std::int32_t revision) {
  const Oid table = RelationGetRelid(relation);
  const char* name = RelationGetRelationName(relation);
  const AclResult allowed = pg_class_aclcheck(table, GetUserId(), ACL_INSERT);
  if (allowed != ACLCHECK_OK) aclcheck_error(allowed, OBJECT_TABLE, name);
  if (!is_partition_of_store(relation, model, revision)) {
    ereport(ERROR,
            (errcode(ERRCODE_WRONG_OBJECT_TYPE),
             errmsg("\"%s\" is not the partition of the store for revision %d of model %d", name, revision, model),
             errhint("create_atoms_partition() creates it.")));
  }
  // Includes foreign keys, which are triggers.
  if (fires_on_insert(relation->trigdesc)) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot write atoms to table \"%s\", which has triggers or foreign keys", name),
                    errhint("Put them on hartonomous.tensor_atoms: a partition gets them when it is attached.")));
  }
  if (check_enable_rls(table, InvalidOid, false) == RLS_ENABLED) {
    ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
                    errmsg("cannot write atoms to table \"%s\" with row-level security", name)));
  }
  PreventCommandIfReadOnly("INSERT");
}

}  // namespace

void table_writer::open(Oid partition, std::int32_t model, std::int32_t revision) {
  relation_ = table_open(partition, RowExclusiveLock);
  check_target(relation_, model, revision);
  estate_ = CreateExecutorState();
  const MemoryContext previous = MemoryContextSwitchTo(estate_->es_query_cxt);
  result_ = makeNode(ResultRelInfo);
  InitResultRelInfo(result_, relation_, 0, nullptr, 0);  // without a range table, since there is no query
  // Usually there are no indexes. They exist if a tensor is copied again before the swap.
  ExecOpenIndices(result_, false);
  bulk_ = GetBulkInsertState();
  // Both are assigned now, because neither can be while a parallel query, which may supply the rows, is running.
  GetCurrentTransactionId();
  command_ = GetCurrentCommandId(true);
  // A table created in this transaction has no free space to search for.
  if (relation_->rd_createSubid != InvalidSubTransactionId) options_ = TABLE_INSERT_SKIP_FSM;
  find_packed_column();
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
  if (expression == nullptr) return;  // there is no default: NULL
  const MemoryContext previous = MemoryContextSwitchTo(estate_->es_query_cxt);
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
    const MemoryContext previous = MemoryContextSwitchTo(estate_->es_query_cxt);
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
  // Generated columns do not depend on each other, so the order does not matter.
  for (int i = 0; i < generated_count_; ++i) compute(slot, generated_[i].column, generated_[i].expression);
  ExecMaterializeSlot(slot);  // copies all values into the slot's own memory
  if (descriptor()->constr != nullptr) ExecConstraints(result_, slot, estate_);
  if (relation_->rd_rel->relispartition) ExecPartitionCheck(result_, slot, estate_, true);
  ++filled_;
  ++rows_;
  filled_bytes_ += bytes;
  if (filled_ == batch_rows || filled_bytes_ >= batch_bytes) flush();
}

void table_writer::find_packed_column() {
  if (result_->ri_NumIndices > 0 || !can_pack_pages(relation_) || !toast_writer::possible(relation_)) return;
  const AttrNumber number = get_attnum(RelationGetRelid(relation_), "atom_data");
  if (number == InvalidAttrNumber) return;
  if (TupleDescAttr(descriptor(), number - 1)->attstorage == TYPSTORAGE_EXTERNAL) packed_column_ = number - 1;
}

// Pages of a batch are not filled further by the next one, so a small batch goes where others have left room.
bool table_writer::can_pack() const {
  if (packed_column_ < 0 || (!packing_ && filled_bytes_ < packed_bytes)) return false;
  bool wide = false;
  for (int i = 0; i < filled_; ++i) {
    if (!can_pack(slots_[i])) return false;
    wide = wide || ExecFetchSlotHeapTuple(slots_[i], true, nullptr)->t_len > TOAST_TUPLE_THRESHOLD;
  }
  return wide;
}

// Whether the row fits without the packed value, and nothing else of it is out of line: an insert would fetch that.
bool table_writer::can_pack(TupleTableSlot* slot) const {
  HeapTuple row = ExecFetchSlotHeapTuple(slot, true, nullptr);
  if (HeapTupleHasExternal(row)) return false;
  if (row->t_len <= TOAST_TUPLE_THRESHOLD) return true;
  bool is_null;
  const Datum value = slot_getattr(slot, packed_column_ + 1, &is_null);
  if (is_null || !VARATT_IS_4B_U(DatumGetPointer(value))) return false;
  const Size rest = row->t_len - VARSIZE(DatumGetPointer(value));
  return rest + toast_writer::pointer_bytes() + MAXIMUM_ALIGNOF <= TOAST_TUPLE_THRESHOLD;
}

HeapTuple table_writer::packed_row(TupleTableSlot* slot) {
  HeapTuple row = ExecFetchSlotHeapTuple(slot, true, nullptr);
  if (row->t_len <= TOAST_TUPLE_THRESHOLD) return row;
  slot_getallattrs(slot);
  Datum& value = slot->tts_values[packed_column_];
  value = toast_.add(reinterpret_cast<const varlena*>(DatumGetPointer(value)));
  return heap_form_tuple(descriptor(), slot->tts_values, slot->tts_isnull);
}

void table_writer::write_packed() {
  if (!packing_) {
    const MemoryContext previous = MemoryContextSwitchTo(estate_->es_query_cxt);
    toast_.open(relation_, command_, batch_rows);
    pages_.open(relation_, command_,
                static_cast<Size>(RelationGetTargetPageFreeSpace(relation_, HEAP_DEFAULT_FILLFACTOR)));
    packing_ = true;
    MemoryContextSwitchTo(previous);
  }
  const MemoryContext previous = MemoryContextSwitchTo(batch_context_);
  auto* rows = static_cast<HeapTuple*>(palloc(sizeof(HeapTuple) * static_cast<std::size_t>(filled_)));
  for (int i = 0; i < filled_; ++i) rows[i] = packed_row(slots_[i]);
  toast_.write();
  for (int first = 0, end = 0; first < filled_; first = end) {
    Size room = pages_.room();
    do {
      room -= packed_pages::row_bytes(rows[end++]);
    } while (end < filled_ && packed_pages::row_bytes(rows[end]) <= room);
    pages_.write(rows + first, end - first);
  }
  MemoryContextSwitchTo(previous);
}

void table_writer::flush() {
  if (filled_ == 0) return;
  if (can_pack()) {
    write_packed();
  } else {
    table_multi_insert(relation_, slots_, filled_, command_, options_, bulk_);
  }
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
  if (packing_) {
    toast_.close();
    pages_.close();
  }
  table_finish_bulk_insert(relation_, options_);
  FreeBulkInsertState(bulk_);
  ExecCloseIndices(result_);
  for (int i = 0; i < batch_rows && slots_[i] != nullptr; ++i) ExecDropSingleTupleTableSlot(slots_[i]);
  table_close(relation_, NoLock);
  FreeExecutorState(estate_);
}

}  // namespace hartonomous::pg
