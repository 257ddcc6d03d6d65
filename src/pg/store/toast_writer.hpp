// Writes values to the TOAST table of a table in bulk. PostgreSQL cuts a value into chunks of 1996 bytes, of which four
// fill a page, and a remainder. It inserts them one after the other, so that a remainder often takes the place of the
// fourth chunk and pages stay a quarter empty. Here the chunks of many values are put into pages together: chunks by
// fours, remainders where they leave least space. The result is what PostgreSQL reads, vacuums and checks as its own.
//
// All members may ereport, and must be called inside call() or from code that PostgreSQL itself called.
#pragma once

#include "pg/store/packed_pages.hpp"

namespace hartonomous::pg {

class toast_writer {
 public:
  // Whether values can be written so: there is a TOAST table, and can_pack_pages() holds for it.
  static bool possible(Relation table);
  // Room for this many values between calls of write(). Memory is taken from the context of the caller.
  void open(Relation table, CommandId command, int most_values);
  // Bytes of a pointer to a value, in a row.
  static Size pointer_bytes() { return VARHDRSZ_EXTERNAL + sizeof(varatt_external); }
  // The pointer to the value, which is written by the next write() and must exist until then. A value is not compressed
  // and has a length word of four bytes.
  Datum add(const varlena* value);
  void write();
  void close();

 private:
  struct chunk {
    Oid value;
    int32 number;
    const char* data;
    int32 bytes;
    ItemPointerData place;
  };

  void add_chunks(Oid id, const varlena* value);
  int remainder_page(int whole, int remainder, int* whole_count);
  void write_page(int whole, int whole_count, int remainder, int remainder_count);
  HeapTuple row_of(const chunk& c);
  void write_pages();
  void insert_index_entries();

  Relation table_ = nullptr;
  Relation* indexes_ = nullptr;
  int index_count_ = 0;
  Oid index_ = InvalidOid;  // in which identifiers of values are looked up
  packed_pages pages_;
  MemoryContext context_ = nullptr, page_context_ = nullptr;
  chunk* chunks_ = nullptr;  // in the order of the index: by value and number
  int chunk_count_ = 0, chunk_room_ = 0;
  chunk** whole_ = nullptr;       // those of the greatest size
  chunk** remainders_ = nullptr;  // the others, by size, greatest first
  int whole_count_ = 0, remainder_count_ = 0;
};

}  // namespace hartonomous::pg
