// Writes whole pages of rows at the end of a table, so that the caller decides which rows share a page; an ordinary
// insert puts each row into the page that it last used. The pages are logged as page images, from which logical
// decoding cannot read rows, and the caller must make index entries itself.
//
// All members may ereport, and must be called inside call() or from code that PostgreSQL itself called.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

// Whether pages may be written to this table: PostgreSQL's own storage, and no logical decoding of what is in it.
bool can_pack_pages(Relation table);

class packed_pages {
 public:
  // Rows are written as of this command. `reserve` is the space to leave free in each page, in bytes.
  void open(Relation table, CommandId command, Size reserve);
  // Bytes that the rows of a page can take together, each as row_bytes().
  Size room() const { return room_; }
  static Size row_bytes(Size tuple_bytes) { return MAXALIGN(tuple_bytes) + sizeof(ItemIdData); }
  static Size row_bytes(HeapTuple row) { return row_bytes(row->t_len); }

  // Writes a page with these rows, which must fit; they get their places (t_self).
  void write(HeapTuple* rows, int count);
  void close();

 private:
  Relation table_ = nullptr;
  CommandId command_ = 0;
  Size room_ = 0;
  BufferAccessStrategy strategy_ = nullptr;
};

}  // namespace hartonomous::pg
