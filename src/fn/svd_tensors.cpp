// Functions that factoring tensors needs besides the decomposition itself (sql/internal/factors.sql).
#include "pg/base/interrupts.hpp"
#include "pg/model/language_model.hpp"
#include "pg/store/settled_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

using namespace hartonomous;
using namespace hartonomous::pg;

HARTONOMOUS_FUNCTION(tensor_weights) {
  const MemoryContext context = CurrentMemoryContext;
  const std::string name = text_argument(fcinfo, 1, "the tensor");
  const std::int32_t id = model_argument(fcinfo);
  const settled_snapshot snapshot(id);
  spi_session spi;
  const atom_set atoms = atoms_argument(fcinfo, 2, id);
  const model_tensors catalog(atoms);
  const stored_tensor& tensor = catalog.tensor(name);
  const std::uint64_t count = tensor.layout.rows * tensor.layout.row_length;
  require_work_memory(count * sizeof(float), "a tensor in F32");
  weights_varlena* result = [&] {
    const context_scope scope(context);
    return new_weights(format::F32, count);
  }();
  auto* values = reinterpret_cast<float*>(result->blocks());
  atom_reader reader(atoms);
  atom_rows rows(reader, tensor, tensor.all_rows());
  const std::uint64_t height =
      std::max<std::uint64_t>((1 << 20) / std::max<std::uint64_t>(tensor.layout.row_length, 1), 1);
  for (std::uint64_t row = 0; row < tensor.layout.rows; row += height) {
    rows.read(std::min(height, tensor.layout.rows - row), values + row * tensor.layout.row_length);
  }
  PG_RETURN_POINTER(result);
}

HARTONOMOUS_FUNCTION(weights_slice) {
  const weights_view w(PG_GETARG_DATUM(0));
  const int64 first = PG_GETARG_INT64(1), count = PG_GETARG_INT64(2);
  const auto total = static_cast<int64>(w.count());
  if (first < 0 || count < 0 || first > total || count > total - first) {
    throw error(sqlstate::invalid_parameter_value, "slice is out of range",
                "There are " + std::to_string(total) + "; asked for are " + std::to_string(count) + " from " +
                    std::to_string(first) + " on.");
  }
  const auto block = static_cast<int64>(w.traits().block_weights);
  if (first % block != 0 || (count % block != 0 && first + count != total)) {
    throw error(sqlstate::invalid_parameter_value, "slice would cut a block",
                std::string(w.traits().name) + " has blocks of " + std::to_string(block) + " weights.");
  }
  weights_varlena* slice = new_weights(w.id(), static_cast<std::uint64_t>(count));
  std::memcpy(slice->blocks(), w.blocks().data() + bytes_of(w.id(), static_cast<std::uint64_t>(first)),
              bytes_of(w.id(), static_cast<std::uint64_t>(count)));
  PG_RETURN_POINTER(slice);
}
