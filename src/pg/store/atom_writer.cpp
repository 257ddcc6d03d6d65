// Writing atoms (atom_writer.hpp).
#include "pg/store/atom_writer.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace hartonomous::pg {

atom_writer::atom_writer(Oid partition, std::int32_t model, std::int32_t revision)
    : model_(model), revision_(revision) {
  call([&] { open(partition); });
}

void atom_writer::open(Oid partition) {
  static const char* const names[columns] = {"model_id", "revision_id",      "layer_id",    "atom_sequence", "x",
                                             "y",        "importance_score", "tensor_name", "atom_data"};
  const Oid types[columns] = {INT4OID,   INT4OID,   INT8OID, INT4OID,       FLOAT4OID,
                              FLOAT4OID, FLOAT4OID, TEXTOID, weights_type()};
  table_.open(partition, model_, revision_);
  for (int i = 0; i < columns; ++i) position_[i] = table_.position_of(names[i], types[i]);
  for (int i = 0; i < table_.descriptor()->natts; ++i) {
    const Form_pg_attribute attribute = TupleDescAttr(table_.descriptor(), i);
    if (attribute->attisdropped || attribute->attgenerated != '\0') continue;
    if (std::find(position_, position_ + columns, i) == position_ + columns) table_.use_default(i);
  }
}

void atom_writer::begin_tensor(std::int64_t layer, const char* name) {
  layer_ = layer;
  call([&] {
    if (tensor_name_ != nullptr) pfree(tensor_name_);
    tensor_name_ = cstring_to_text(name);
  });
}

void atom_writer::add(std::int32_t sequence, format f, std::uint32_t count, const void* blocks,
                      const atom_position& position) {
  context_scope scope(table_.batch_context());
  weights_varlena* data = new_weights(f, count);
  std::memcpy(data->blocks(), blocks, VARSIZE(data) - sizeof(weights_varlena));
  call([&] { store(sequence, data, position); });
}

void atom_writer::store(std::int32_t sequence, const weights_varlena* data, const atom_position& position) {
  const Datum values[columns] = {Int32GetDatum(model_),
                                 Int32GetDatum(revision_),
                                 Int64GetDatum(layer_),
                                 Int32GetDatum(sequence),
                                 Float4GetDatum(position.x),
                                 Float4GetDatum(position.y),
                                 Float4GetDatum(position.importance),
                                 PointerGetDatum(tensor_name_),
                                 PointerGetDatum(data)};
  TupleTableSlot* slot = table_.begin_row();
  for (int i = 0; i < columns; ++i) {
    slot->tts_values[position_[i]] = values[i];
    slot->tts_isnull[position_[i]] = false;
  }
  table_.store_row(VARSIZE(data));
}

void atom_writer::finish() {
  call([&] { table_.close(); });
}

}  // namespace hartonomous::pg
