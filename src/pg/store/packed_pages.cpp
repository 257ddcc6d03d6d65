// Whole pages of rows (packed_pages.hpp).
#include "pg/store/packed_pages.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/xloginsert.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/freespace.h"
#include "storage/predicate.h"
}

namespace hartonomous::pg {
namespace {

void set_visibility(HeapTuple row, TransactionId transaction, CommandId command, Oid table) {
  HeapTupleHeader header = row->t_data;
  header->t_infomask &= static_cast<uint16>(~HEAP_XACT_MASK);
  header->t_infomask2 &= static_cast<uint16>(~HEAP2_XACT_MASK);
  header->t_infomask |= HEAP_XMAX_INVALID;
  HeapTupleHeaderSetXmin(header, transaction);
  HeapTupleHeaderSetCmin(header, command);
  HeapTupleHeaderSetXmax(header, InvalidTransactionId);
  row->t_tableOid = table;
}

}  // namespace

bool can_pack_pages(Relation table) {
  return table->rd_rel->relam == HEAP_TABLE_AM_OID && !RelationIsLogicallyLogged(table);
}

void packed_pages::open(Relation table, CommandId command, Size reserve) {
  table_ = table;
  command_ = command;
  room_ = BLCKSZ - SizeOfPageHeaderData - reserve;
  strategy_ = GetAccessStrategy(BAS_BULKWRITE);
}

void packed_pages::write(HeapTuple* rows, int count) {
  const TransactionId transaction = GetCurrentTransactionId();
  CheckForSerializableConflictIn(table_, nullptr, InvalidBlockNumber);
  for (int i = 0; i < count; ++i) set_visibility(rows[i], transaction, command_, RelationGetRelid(table_));
  const Buffer buffer = extend_by_page(table_, strategy_);
  const BlockNumber block = BufferGetBlockNumber(buffer);
  START_CRIT_SECTION();
  Page page = BufferGetPage(buffer);
  PageInit(page, BufferGetPageSize(buffer), 0);
  for (int i = 0; i < count; ++i) {
    ItemPointerSet(&rows[i]->t_self, block, static_cast<OffsetNumber>(i + 1));
    rows[i]->t_data->t_ctid = rows[i]->t_self;
    if (PageAddItem(page, reinterpret_cast<char*>(rows[i]->t_data), rows[i]->t_len, InvalidOffsetNumber, false, true) ==
        InvalidOffsetNumber) {
      elog(PANIC, "rows that do not fit a page");
    }
  }
  MarkBufferDirty(buffer);
  if (RelationNeedsWAL(table_)) log_newpage_buffer(buffer, true);
  END_CRIT_SECTION();
  const Size free = PageGetHeapFreeSpace(page);
  UnlockReleaseBuffer(buffer);
  // So that later inserts can use it.
  if (free > BLCKSZ / 8) RecordPageWithFreeSpace(table_, block, free);
  pgstat_count_heap_insert(table_, count);
}

void packed_pages::close() { FreeAccessStrategy(strategy_); }

}  // namespace hartonomous::pg
