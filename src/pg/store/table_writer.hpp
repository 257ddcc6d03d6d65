// Bulk insert into partitions of the store, the way COPY inserts: batches of rows, generated columns computed (but for
// those the caller keeps), index entries where there are indexes. NOT NULL, CHECK, the user's too, and the bounds of
// the partition are checked. Any caller may name any table, so all but a partition of the store is refused, and what an
// INSERT would refuse there, too; one with triggers, which are not fired here, is refused as well.
//
// All members may ereport and must be called inside call(), or from code that PostgreSQL itself called; they own no
// C++ object. What an error leaves open, the transaction's abort closes.
#pragma once

#include "pg/base/boundary.hpp"

namespace hartonomous::pg {

class table_writer {
 public:
  // The partition that create_atoms_partition() makes for the model and the revision. Errors: 42809 it is not that,
  // 42501 without the right to INSERT, 0A000 when triggers or foreign keys see to its rows or policies say which may be
  // written, 25006 in a read-only transaction.
  void open(Oid partition, std::int32_t model, std::int32_t revision);
  TupleDesc descriptor() const { return RelationGetDescr(relation_); }
  // Position, from 0, of a column that must be there and of that type: 42703, 42804.
  int position_of(const char* column, Oid type) const;
  // Error 42804 when values of that type and length are not what a column holds: nothing is converted.
  void require_type(int position, Oid type, int32 modifier) const;
  // The caller gives no value for this column: it gets its default, as in any INSERT.
  void use_default(int position);
  // The caller gives the value of this generated column: what the table's own expression would come to.
  void keep_generated(int position);
  Relation relation() const { return relation_; }
  // Memory for values of rows that are not written yet; emptied as they are.
  MemoryContext batch_context() const { return batch_context_; }

  // A row: fill tts_values and tts_isnull of the slot (all NULL), then store it. Values may lie in memory that goes
  // away after store_row(). `bytes` is about what the row takes.
  TupleTableSlot* begin_row();
  void store_row(Size bytes);
  void close();
  int64 rows() const { return rows_; }

 private:
  void flush();
  void compute(TupleTableSlot* slot, int column, ExprState* expression);

  static constexpr int batch_rows = 1000;
  static constexpr Size batch_bytes = 1 << 20;

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
  TupleTableSlot** slots_ = nullptr;  // batch_rows of them, made when first needed
  int filled_ = 0;
  Size filled_bytes_ = 0;
  column_value* defaults_ = nullptr;
  int default_count_ = 0;
  column_value* generated_ = nullptr;
  int generated_count_ = 0;
  int64 rows_ = 0;
};

}  // namespace hartonomous::pg
