// Writes the atoms of a model file to a partition that is neither attached nor indexed yet.
#pragma once

#include "pg/store/table_writer.hpp"
#include "pg/base/weights.hpp"

#include <cstdint>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

class atom_writer {
 public:
  // All rows get this model and revision, which must be those of the partition.
  atom_writer(Oid partition, std::int32_t model, std::int32_t revision);
  atom_writer(const atom_writer&) = delete;
  atom_writer& operator=(const atom_writer&) = delete;

  // Sets the tensor to which the next atoms belong.
  void begin_tensor(std::int64_t layer, const char* name);
  // `blocks` has bytes_of(f, count) bytes.
  void add(std::int32_t sequence, format f, std::uint32_t count, const void* blocks, const atom_position& position);
  void finish();
  std::uint64_t rows() const noexcept { return static_cast<std::uint64_t>(table_.rows()); }

 private:
  enum column {
    model_id,
    revision_id,
    layer_id,
    atom_sequence,
    x,
    y,
    importance_score,
    tensor_name,
    atom_data,
    columns
  };

  void open(Oid partition);
  void store(std::int32_t sequence, const weights_varlena* data, const atom_position& position);

  std::int32_t model_, revision_;
  table_writer table_;
  int position_[columns] = {};
  std::int64_t layer_ = 0;
  text* tensor_name_ = nullptr;
};

}  // namespace hartonomous::pg
