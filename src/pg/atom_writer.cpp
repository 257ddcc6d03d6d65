// Bulk insert of atoms (atom_writer.hpp).
#include "pg/atom_writer.hpp"

#include <cstring>

extern "C" {
#include "access/heapam.h"
#include "executor/nodeModifyTable.h"
#include "rewrite/rewriteHandler.h"
}

namespace hartonomous::pg {

atom_writer::atom_writer(Oid partition, std::int32_t model, std::int32_t revision)
    : model_(model), revision_(revision) {
  call([&] { open(partition); });
}

void atom_writer::open(Oid partition) {
  static const char* const names[columns] = {"model_id", "revision_id",      "layer_id",    "atom_sequence", "x",
                                             "y",        "importance_score", "tensor_name", "atom_data"};
  relation_ = table_open(partition, RowExclusiveLock);
  for (int i = 0; i < columns; ++i) {
    const AttrNumber number = get_attnum(partition, names[i]);
    if (number == InvalidAttrNumber) {
      ereport(ERROR, (errcode(ERRCODE_UNDEFINED_COLUMN),
                      errmsg("table \"%s\" has no column \"%s\"", RelationGetRelationName(relation_), names[i])));
    }
    attribute_[i] = number - 1;
  }
  estate_ = CreateExecutorState();
  MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
  result_ = makeNode(ResultRelInfo);
  InitResultRelInfo(result_, relation_, 1, nullptr, 0);
  bulk_ = GetBulkInsertState();
  // A table made in this transaction has no free space worth looking for.
  if (relation_->rd_createSubid != InvalidSubTransactionId) options_ = TABLE_INSERT_SKIP_FSM;
  batch_context_ = AllocSetContextCreate(estate_->es_query_cxt, "atom batch", ALLOCSET_DEFAULT_SIZES);
  slots_ = static_cast<TupleTableSlot**>(palloc0(sizeof(TupleTableSlot*) * batch_rows));
  prepare_defaults();
  MemoryContextSwitchTo(previous);
}

// Columns a user added get their defaults, as in any INSERT.
void atom_writer::prepare_defaults() {
  const TupleDesc desc = RelationGetDescr(relation_);
  defaults_ = static_cast<user_default*>(palloc(sizeof(user_default) * static_cast<std::size_t>(desc->natts)));
  for (int i = 0; i < desc->natts; ++i) {
    const Form_pg_attribute attribute = TupleDescAttr(desc, i);
    if (attribute->attisdropped || attribute->attgenerated != '\0') continue;
    bool ours = false;
    for (int a : attribute_) ours = ours || a == i;
    if (ours) continue;
    auto* expression = reinterpret_cast<Expr*>(build_column_default(relation_, i + 1));
    if (expression == nullptr) continue;
    defaults_[default_count_].column = i;
    defaults_[default_count_].expression = ExecPrepareExpr(expression, estate_);
    ++default_count_;
  }
}

void atom_writer::begin_tensor(std::int64_t layer, const char* name) {
  layer_ = layer;
  call([&] {
    if (tensor_name_ != nullptr) pfree(tensor_name_);
    MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
    tensor_name_ = cstring_to_text(name);
    MemoryContextSwitchTo(previous);
  });
}

void atom_writer::add(std::int32_t sequence, format f, std::uint32_t count, const void* blocks,
                      const atom_place& place) {
  context_scope scope(batch_context_);
  weights_varlena* data = new_weights(f, count);
  const std::size_t bytes = VARSIZE(data) - sizeof(weights_varlena);
  std::memcpy(data->blocks(), blocks, bytes);
  call([&] { store_row(sequence, data, place); });
  filled_bytes_ += bytes;
  if (filled_ == batch_rows || filled_bytes_ >= batch_bytes) call([&] { flush(); });
}

void atom_writer::store_row(std::int32_t sequence, weights_varlena* data, const atom_place& place) {
  if (slots_[filled_] == nullptr) {
    MemoryContext const previous = MemoryContextSwitchTo(estate_->es_query_cxt);
    slots_[filled_] = table_slot_create(relation_, nullptr);
    MemoryContextSwitchTo(previous);
  }
  TupleTableSlot* slot = slots_[filled_];
  ExecClearTuple(slot);
  const TupleDesc desc = RelationGetDescr(relation_);
  std::memset(slot->tts_isnull, true, static_cast<std::size_t>(desc->natts) * sizeof(bool));
  const Datum values[columns] = {Int32GetDatum(model_),
                                 Int32GetDatum(revision_),
                                 Int64GetDatum(layer_),
                                 Int32GetDatum(sequence),
                                 Float4GetDatum(place.x),
                                 Float4GetDatum(place.y),
                                 Float4GetDatum(place.importance),
                                 PointerGetDatum(tensor_name_),
                                 PointerGetDatum(data)};
  for (int i = 0; i < columns; ++i) {
    slot->tts_values[attribute_[i]] = values[i];
    slot->tts_isnull[attribute_[i]] = false;
  }
  ResetPerTupleExprContext(estate_);
  for (int i = 0; i < default_count_; ++i) {
    const int c = defaults_[i].column;
    slot->tts_values[c] =
        ExecEvalExprSwitchContext(defaults_[i].expression, GetPerTupleExprContext(estate_), &slot->tts_isnull[c]);
  }
  ExecStoreVirtualTuple(slot);
  ExecComputeStoredGenerated(result_, estate_, slot, CMD_INSERT);
  ++filled_;
  ++rows_;
}

void atom_writer::flush() {
  if (filled_ == 0) return;
  table_multi_insert(relation_, slots_, filled_, GetCurrentCommandId(true), options_, bulk_);
  for (int i = 0; i < filled_; ++i) ExecClearTuple(slots_[i]);
  filled_ = 0;
  filled_bytes_ = 0;
  MemoryContextReset(batch_context_);
}

void atom_writer::finish() {
  call([&] {
    flush();
    table_finish_bulk_insert(relation_, options_);
    FreeBulkInsertState(bulk_);
    for (int i = 0; i < batch_rows && slots_[i] != nullptr; ++i) ExecDropSingleTupleTableSlot(slots_[i]);
    table_close(relation_, NoLock);
    FreeExecutorState(estate_);
  });
}

}  // namespace hartonomous::pg
