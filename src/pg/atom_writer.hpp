// Bulk insert of atoms into a partition that is attached to nothing and has no index yet: the way COPY inserts.
#pragma once

#include "pg/memory.hpp"
#include "pg/weights.hpp"

#include <cstdint>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

class atom_writer {
 public:
  // All rows get this model and revision: the partition's CHECK, which is not evaluated again for each row.
  atom_writer(Oid partition, std::int32_t model, std::int32_t revision);
  atom_writer(const atom_writer&) = delete;
  atom_writer& operator=(const atom_writer&) = delete;
  // What an error leaves open, the transaction's abort closes.
  ~atom_writer() = default;

  // The tensor the next atoms belong to.
  void begin_tensor(std::int64_t layer, const char* name);
  // `blocks` are bytes_of(f, count) bytes.
  void add(std::int32_t sequence, format f, std::uint32_t count, const void* blocks, const atom_place& place);
  void finish();
  std::uint64_t rows() const noexcept { return rows_; }

 private:
  void open(Oid partition);
  void prepare_defaults();
  void store_row(std::int32_t sequence, weights_varlena* data, const atom_place& place);
  void flush();

  static constexpr int batch_rows = 1000;
  static constexpr std::size_t batch_bytes = 1 << 20;

  struct user_default {
    int column;
    ExprState* expression;
  };
  enum column { model_id, revision_id, layer_id, atom_sequence, x, y, importance_score, tensor_name, atom_data, columns };

  std::int32_t model_, revision_;
  Relation relation_ = nullptr;
  EState* estate_ = nullptr;
  ResultRelInfo* result_ = nullptr;
  BulkInsertState bulk_ = nullptr;
  int options_ = 0;
  MemoryContext batch_context_ = nullptr;
  TupleTableSlot** slots_ = nullptr;  // batch_rows of them, made when first needed
  int filled_ = 0;
  std::size_t filled_bytes_ = 0;
  int attribute_[columns] = {};  // positions, from 0
  user_default* defaults_ = nullptr;
  int default_count_ = 0;
  std::int64_t layer_ = 0;
  text* tensor_name_ = nullptr;
  std::uint64_t rows_ = 0;
};

}  // namespace hartonomous::pg
