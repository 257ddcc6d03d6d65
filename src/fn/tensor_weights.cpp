// The weights of a stored tensor, in whatever form it is stored, as one value (sql/api/weights.sql).
#include "pg/base/guc.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/model_tensors.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

using namespace hartonomous;
using namespace hartonomous::pg;

HARTONOMOUS_FUNCTION(tensor_weights) {
  const MemoryContext context = CurrentMemoryContext;
  const std::string name = text_argument(fcinfo, 1, "the tensor");
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
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
