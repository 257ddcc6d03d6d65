// Writing TOASTed values in bulk (toast_writer.hpp). The layout of chunks is that of PostgreSQL's toast_internals.c.
#include "pg/store/toast_writer.hpp"

#include <algorithm>
#include <cstring>

extern "C" {
#include "access/heaptoast.h"
#include "access/toast_internals.h"
#include "catalog/catalog.h"
}

namespace hartonomous::pg {
namespace {

constexpr auto chunk_bytes = static_cast<int32>(TOAST_MAX_CHUNK_SIZE);
constexpr int most_rows = BLCKSZ / 32;  // of a page; a chunk's row takes at least 40 bytes

// What a chunk takes in a page.
Size row_bytes(int32 bytes) {
  return packed_pages::row_bytes(MAXALIGN(SizeofHeapTupleHeader) + sizeof(Oid) + sizeof(int32) + VARHDRSZ +
                                 static_cast<Size>(bytes));
}

}  // namespace

bool toast_writer::possible(Relation table) {
  if (!OidIsValid(table->rd_rel->reltoastrelid)) return false;
  const Relation chunks = table_open(table->rd_rel->reltoastrelid, AccessShareLock);
  const bool can = can_pack_pages(chunks);
  table_close(chunks, AccessShareLock);
  return can;
}

void toast_writer::open(Relation table, CommandId command, int most_values) {
  context_ = CurrentMemoryContext;
  page_context_ = AllocSetContextCreate(context_, "rows of a page", ALLOCSET_DEFAULT_SIZES);
  table_ = table_open(table->rd_rel->reltoastrelid, RowExclusiveLock);
  const int valid = toast_open_indexes(table_, RowExclusiveLock, &indexes_, &index_count_);
  index_ = RelationGetRelid(indexes_[valid]);
  pages_.open(table_, command, 0);
  chunk_room_ = 2 * most_values;
  chunks_ = static_cast<chunk*>(palloc(sizeof(chunk) * static_cast<std::size_t>(chunk_room_)));
}

void toast_writer::add_chunks(Oid id, const varlena* value) {
  const char* data = VARDATA(value);
  const auto bytes = static_cast<int32>(VARSIZE(value) - VARHDRSZ);
  const int wanted = chunk_count_ + (bytes + chunk_bytes - 1) / chunk_bytes;
  if (wanted > chunk_room_) {
    chunk_room_ = 2 * wanted;
    chunks_ = static_cast<chunk*>(repalloc(chunks_, sizeof(chunk) * static_cast<std::size_t>(chunk_room_)));
  }
  for (int32 done = 0, number = 0; done < bytes; done += chunk_bytes, ++number) {
    chunks_[chunk_count_++] = {id, number, data + done, std::min(chunk_bytes, bytes - done), {}};
  }
}

Datum toast_writer::add(const varlena* value) {
  const Oid id = GetNewOidWithIndex(table_, index_, 1);
  add_chunks(id, value);
  varatt_external pointer = {};
  pointer.va_rawsize = static_cast<int32>(VARSIZE(value));
  pointer.va_extinfo = static_cast<uint32>(VARSIZE(value) - VARHDRSZ);  // and no compression method
  pointer.va_valueid = id;
  pointer.va_toastrelid = RelationGetRelid(table_);
  auto* datum = static_cast<varlena*>(palloc(pointer_bytes()));
  SET_VARTAG_EXTERNAL(datum, VARTAG_ONDISK);
  std::memcpy(VARDATA_EXTERNAL(datum), &pointer, sizeof pointer);
  return PointerGetDatum(datum);
}

HeapTuple toast_writer::row_of(const chunk& c) {
  auto* data = static_cast<varlena*>(palloc(VARHDRSZ + static_cast<Size>(c.bytes)));
  SET_VARSIZE(data, VARHDRSZ + c.bytes);
  std::memcpy(VARDATA(data), c.data, static_cast<std::size_t>(c.bytes));
  Datum values[] = {ObjectIdGetDatum(c.value), Int32GetDatum(c.number), PointerGetDatum(data)};
  bool nulls[] = {false, false, false};
  return heap_form_tuple(RelationGetDescr(table_), values, nulls);
}

// Decides how many whole chunks and how many remainders, from `remainder` on, go into the next page: so many that least
// of it stays free. Returns the number of remainders.
int toast_writer::remainder_page(int whole, int remainder, int* whole_count) {
  int best = 0;
  Size least_free = BLCKSZ;
  for (int n = 0; n <= std::min(EXTERN_TUPLES_PER_PAGE - 1, whole_count_ - whole); ++n) {
    Size free = pages_.room() - static_cast<Size>(n) * row_bytes(chunk_bytes);
    int count = 0;
    while (remainder + count < remainder_count_ && row_bytes(remainders_[remainder + count]->bytes) <= free)
      free -= row_bytes(remainders_[remainder + count++]->bytes);
    if (count == 0 || free >= least_free) continue;
    least_free = free;
    best = count;
    *whole_count = n;
  }
  return best;
}

void toast_writer::write_page(int whole, int whole_count, int remainder, int remainder_count) {
  const MemoryContext previous = MemoryContextSwitchTo(page_context_);
  HeapTuple rows[most_rows];
  for (int i = 0; i < whole_count; ++i) rows[i] = row_of(*whole_[whole + i]);
  for (int i = 0; i < remainder_count; ++i) rows[whole_count + i] = row_of(*remainders_[remainder + i]);
  pages_.write(rows, whole_count + remainder_count);
  for (int i = 0; i < whole_count; ++i) whole_[whole + i]->place = rows[i]->t_self;
  for (int i = 0; i < remainder_count; ++i) remainders_[remainder + i]->place = rows[whole_count + i]->t_self;
  MemoryContextSwitchTo(previous);
  MemoryContextReset(page_context_);
}

void toast_writer::write_pages() {
  int whole = 0, remainder = 0;
  while (remainder < remainder_count_) {
    int whole_count = 0;
    const int count = remainder_page(whole, remainder, &whole_count);
    write_page(whole, whole_count, remainder, count);
    whole += whole_count;
    remainder += count;
  }
  while (whole < whole_count_) {
    const int count = std::min<int>(EXTERN_TUPLES_PER_PAGE, whole_count_ - whole);
    write_page(whole, count, 0, 0);
    whole += count;
  }
}

void toast_writer::insert_index_entries() {
  bool nulls[] = {false, false, false};
  for (int c = 0; c < chunk_count_; ++c) {
    Datum values[] = {ObjectIdGetDatum(chunks_[c].value), Int32GetDatum(chunks_[c].number), 0};
    for (int i = 0; i < index_count_; ++i) {
      if (!indexes_[i]->rd_index->indisready) continue;
      index_insert(indexes_[i], values, nulls, &chunks_[c].place, table_,
                   indexes_[i]->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false, nullptr);
    }
  }
}

void toast_writer::write() {
  if (chunk_count_ == 0) return;
  const MemoryContext previous = MemoryContextSwitchTo(context_);
  const auto pointers = sizeof(chunk*) * static_cast<std::size_t>(chunk_count_);
  whole_ = static_cast<chunk**>(palloc(pointers));
  remainders_ = static_cast<chunk**>(palloc(pointers));
  whole_count_ = remainder_count_ = 0;
  for (int i = 0; i < chunk_count_; ++i) {
    chunk* c = chunks_ + i;
    if (c->bytes == chunk_bytes) {
      whole_[whole_count_++] = c;
    } else {
      remainders_[remainder_count_++] = c;
    }
  }
  std::stable_sort(remainders_, remainders_ + remainder_count_,
                   [](const chunk* a, const chunk* b) { return a->bytes > b->bytes; });
  write_pages();
  insert_index_entries();
  pfree(whole_);
  pfree(remainders_);
  chunk_count_ = 0;
  MemoryContextSwitchTo(previous);
}

// The locks are kept to the end of the transaction, as those of an insert.
void toast_writer::close() {
  pages_.close();
  toast_close_indexes(indexes_, index_count_, NoLock);
  table_close(table_, NoLock);
}

}  // namespace hartonomous::pg
