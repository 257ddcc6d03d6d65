// Bulk insert into partitions of the store, implemented like COPY: rows are inserted in batches, generated columns are
// computed (unless the caller provides them), and index entries are added if there are indexes. NOT NULL and CHECK
// constraints, also those of the user, and partition bounds are checked. Since callers can name any table, everything
// except partitions of the store is refused, as is whatever an INSERT would refuse there. Tables with triggers are
// refused because triggers are not fired.
//
// Batches of rows whose weights go out of line are packed into pages of their own (toast_writer.hpp), where the table
// has no indexes yet and wal_level is not logical; all else is inserted as COPY does.
//
// All members may ereport. They must be called inside call() or from code that PostgreSQL itself called, and they own
// no C++ objects. After an error, the abort of the transaction closes what is open.
#pragma once

#include "pg/base/boundary.hpp"

#include <cstdint>

#include "pg/store/packed_pages.hpp"
#include "pg/store/toast_writer.hpp"

namespace hartonomous::pg {

class table_writer {
 public:
  // Opens the partition that create_atoms_partition() makes for the model and the revision. Errors: 42809 if the table
  // is something else, 42501 without the INSERT privilege, 0A000 if it has triggers, foreign keys or row-level security
  // policies, 25006 in a read-only transaction.
  void open(Oid partition, std::int32_t model, std::int32_t revision);
  TupleDesc descriptor() const { return RelationGetDescr(relation_); }
  // The position, from 0, of a column that must exist and have the type; raises 42703 or 42804.
  int position_of(const char* column, Oid type) const;
  // Raises 42804 unless the column has this type and length, because values are not converted.
  void require_type(int position, Oid type, int32 modifier) const;
  // The caller provides no value for this column: it gets its default, as in any INSERT.
  void use_default(int position);
  // The caller provides the value of this generated column, which must equal that of the table's expression.
  void keep_generated(int position);
  Relation relation() const { return relation_; }
  // Memory for the values of rows that have not been written yet; reset whenever the batch is written.
  MemoryContext batch_context() const { return batch_context_; }

  // Adds a row: fill tts_values and tts_isnull (initially all NULL) of the slot, then store the row. The values need
  // not outlive store_row(). `bytes` is the approximate size of the row.
  TupleTableSlot* begin_row();
  void store_row(Size bytes);
  void close();
  int64 rows() const { return rows_; }

 private:
  void flush();
  void find_packed_column();
  bool can_pack() const;
  bool can_pack(TupleTableSlot* slot) const;
  HeapTuple packed_row(TupleTableSlot* slot);
  void write_packed();
  void compute(TupleTableSlot* slot, int column, ExprState* expression);

  static constexpr int batch_rows = 1000;
  static constexpr Size batch_bytes = 4 << 20;
  static constexpr Size packed_bytes =
      1 << 18;  // the least that is packed, because the last page of each kind is not filled

  struct column_value {
    int column;
    ExprState* expression;
  };

  Relation relation_ = nullptr;
  EState* estate_ = nullptr;
  ResultRelInfo* result_ = nullptr;
  BulkInsertState bulk_ = nullptr;
  CommandId command_ = 0;
  int options_ = 0;
  MemoryContext batch_context_ = nullptr;
  TupleTableSlot** slots_ = nullptr;  // batch_rows slots, created on first use
  int filled_ = 0;
  Size filled_bytes_ = 0;
  column_value* defaults_ = nullptr;
  int default_count_ = 0;
  column_value* generated_ = nullptr;
  int generated_count_ = 0;
  int64 rows_ = 0;
  int packed_column_ = -1;  // whose values toast_ writes; -1 if nothing is packed
  bool packing_ = false;    // whether toast_ and pages_ are open
  toast_writer toast_;
  packed_pages pages_;
};

}  // namespace hartonomous::pg
