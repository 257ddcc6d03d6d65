// Reads TOASTed values by ranges of the index (toast_batch.hpp). The chunk layout is that of PostgreSQL's
// toast_internals.c.
#include "pg/store/toast_batch.hpp"

#include <algorithm>
#include <array>
#include <cstring>

extern "C" {
#include "access/heaptoast.h"
#include "access/toast_internals.h"
#include "catalog/pg_am.h"
#include "utils/fmgroids.h"
}

namespace hartonomous::pg {
namespace {

// 64 rows of 4096 floats. For larger values, opening and searching the index takes a small part of the time.
constexpr std::size_t most_bytes = 1024 * 1024;
constexpr std::size_t most_values = 64;

struct stored_value {
  Oid id;
  std::size_t size;   // without the varlena header
  std::size_t found;  // bytes read so far
  char* room;
  Datum* value;
};

struct batch {
  Oid relation = InvalidOid;
  std::size_t count = 0, bytes = 0;  // bytes: of all buffers
  std::array<stored_value, most_values> values;
};

// Adds a value, unless it cannot be fetched together with the others.
bool take(batch& b, Datum* value) {
  auto* pointer = reinterpret_cast<varlena*>(DatumGetPointer(*value));
  if (b.count == most_values || !VARATT_IS_EXTERNAL_ONDISK(pointer)) return false;
  varatt_external stored;
  VARATT_EXTERNAL_GET_POINTER(stored, pointer);
  const std::size_t size = VARATT_EXTERNAL_GET_EXTSIZE(stored), bytes = MAXALIGN(VARHDRSZ + size);
  // The test of VARATT_EXTERNAL_IS_COMPRESSED, which compares numbers of different signedness.
  if (size + VARHDRSZ < static_cast<std::size_t>(stored.va_rawsize)) return false;
  if (b.bytes + bytes > most_bytes || (b.count > 0 && stored.va_toastrelid != b.relation)) return false;
  b.relation = stored.va_toastrelid;
  b.values[b.count++] = {stored.va_valueid, size, 0, nullptr, value};
  b.bytes += bytes;
  return true;
}

void copy_chunk(stored_value& value, HeapTuple row, TupleDesc shape) {
  bool is_null;
  const auto number = static_cast<std::size_t>(DatumGetInt32(fastgetattr(row, 2, shape, &is_null)));
  const auto* chunk = reinterpret_cast<const varlena*>(DatumGetPointer(fastgetattr(row, 3, shape, &is_null)));
  if (is_null || (VARATT_IS_EXTENDED(chunk) && !VARATT_IS_SHORT(chunk))) return;
  const std::size_t bytes = VARSIZE_ANY_EXHDR(chunk);
  // A value with invalid chunks is left unread: PostgreSQL reports the error when it detoasts it.
  if (number * TOAST_MAX_CHUNK_SIZE != value.found || bytes > value.size - value.found) return;
  std::memcpy(value.room + VARHDRSZ + value.found, VARDATA_ANY(chunk), bytes);
  value.found += bytes;
}

// Reads the chunks of `values`, which are sorted by their ids, and gives up when it has met more chunks of other values
// than of these. Owns nothing, so that an error may jump over it.
void read_range(Relation toast, stored_value* values, std::size_t count) {
  Relation* indexes;
  int index_count;
  const int valid = toast_open_indexes(toast, AccessShareLock, &indexes, &index_count);
  ScanKeyData range[2];
  ScanKeyInit(&range[0], 1, BTGreaterEqualStrategyNumber, F_OIDGE, ObjectIdGetDatum(values[0].id));
  ScanKeyInit(&range[1], 1, BTLessEqualStrategyNumber, F_OIDLE, ObjectIdGetDatum(values[count - 1].id));
  toast_snapshot snapshot;
  SysScanDesc scan = systable_beginscan_ordered(toast, indexes[valid], snapshot.get(), 2, range);
  const TupleDesc shape = RelationGetDescr(toast);
  std::size_t at = 0, of_these = 0, of_others = 0;
  while (HeapTuple row = systable_getnext_ordered(scan, ForwardScanDirection)) {
    bool is_null;
    const Oid id = DatumGetObjectId(fastgetattr(row, 1, shape, &is_null));
    while (at + 1 < count && values[at].id < id) ++at;
    if (values[at].id == id) {
      copy_chunk(values[at], row, shape);
      ++of_these;
    } else if (++of_others > of_these + count) {
      break;
    }
  }
  systable_endscan_ordered(scan);
  toast_close_indexes(indexes, index_count, AccessShareLock);
}

void read_values(Oid relation, stored_value* values, std::size_t count) {
  Relation toast = table_open(relation, AccessShareLock);
  // The storage of other access methods is not known here.
  if (toast->rd_rel->relam == HEAP_TABLE_AM_OID) read_range(toast, values, count);
  table_close(toast, AccessShareLock);
}

}  // namespace

std::size_t toast_batch::fetch(Datum* values, std::size_t count) {
  batch b;
  std::size_t taken = 0;
  while (taken < count && take(b, values + taken)) ++taken;
  if (taken < 2) return 1;
  const auto begin = b.values.begin(), end = begin + taken;
  std::sort(begin, end, [](const stored_value& x, const stored_value& y) { return x.id < y.id; });
  if (room_.size() == 0) room_ = buffer<std::byte>(most_bytes);
  char* at = reinterpret_cast<char*>(room_.data());
  for (stored_value& v : span<stored_value>{begin, taken}) {
    v.room = at;
    at += MAXALIGN(VARHDRSZ + v.size);
  }
  call([&] { read_values(b.relation, b.values.data(), taken); });
  for (const stored_value& v : span<const stored_value>{begin, taken}) {
    if (v.found != v.size) continue;
    SET_VARSIZE(v.room, VARHDRSZ + v.size);
    *v.value = PointerGetDatum(v.room);
  }
  return taken;
}

}  // namespace hartonomous::pg
