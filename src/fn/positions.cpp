// Positions of stored atoms, computed from their weights as in an import (sql/api/check.sql).
#include "pg/base/guc.hpp"
#include "pg/base/rows.hpp"
#include "pg/base/text.hpp"
#include "pg/model/arguments.hpp"
#include "pg/model/model_tensors.hpp"
#include "pg/store/locked_snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "hartonomous/space.hpp"

using namespace hartonomous;
using namespace hartonomous::pg;

namespace {

class stored_rows final : public matrix_rows {
 public:
  stored_rows(atom_reader& reader, const stored_tensor& tensor)
      : reader_(reader), tensor_(tensor), cursor_(reader, tensor, tensor.all_rows()), pending_(cursor_.next()) {}

  // Whether the weights can be decoded; that holds for all atoms of a tensor or for none.
  bool readable() const { return pending_ && cursor_.atom().traits().readable; }
  // The atoms that exist, in order, up to the cursor.
  const std::vector<std::uint64_t>& atoms() const noexcept { return atoms_; }

  void sample(span<const std::uint64_t> rows, float* to) override {
    reader_.read_rows(tensor_, std::vector<std::uint32_t>(rows.begin(), rows.begin() + rows.size()), to);
  }
  void next(float* to) override {
    std::fill_n(to, tensor_.layout.row_length, 0.0f);
    const std::uint64_t first = row_++ * tensor_.layout.row_length, end = first + tensor_.layout.row_length;
    for (; pending_; skip()) {
      const std::uint64_t at = tensor_.layout.offset_of(cursor_.sequence());
      decode_between(cursor_.atom(), at, first, end, to);
      if (at + cursor_.atom().count() > end) break;  // the rest of the atom is in the next rows
    }
  }
  bool has(std::uint64_t atom) const override { return std::binary_search(atoms_.begin(), atoms_.end(), atom); }
  // Records an atom without decoding its weights; false at the end.
  bool skip() {
    if (pending_) atoms_.push_back(cursor_.sequence());
    return pending_ && (pending_ = cursor_.next());
  }

 private:
  atom_reader& reader_;
  const stored_tensor& tensor_;
  atom_cursor cursor_;
  bool pending_;  // the cursor is at an atom that has not been decoded
  std::uint64_t row_ = 0;
  std::vector<std::uint64_t> atoms_;
};

void return_position(result_rows& rows, std::uint64_t atom, const atom_position& position) {
  const Datum values[] = {Int32GetDatum(static_cast<int32>(atom)), Float4GetDatum(position.x),
                          Float4GetDatum(position.y), Float4GetDatum(position.importance)};
  const bool nulls[4] = {};
  rows.add(values, nulls);
}

}  // namespace

HARTONOMOUS_FUNCTION(tensor_positions) {
  const std::string name = text_argument(fcinfo, 1, "the tensor");
  result_rows result(fcinfo);
  const std::int32_t id = model_argument(fcinfo);
  const locked_snapshot snapshot(id);
  spi_session spi;
  const model_tensors catalog(live_atoms(id));
  const stored_tensor& tensor = catalog.tensor(name);
  atom_reader reader(live_atoms(id));
  stored_rows rows(reader, tensor);
  if (!tensor.positioned || !rows.readable()) {
    while (rows.skip()) {
    }
    for (std::uint64_t atom : rows.atoms()) return_position(result, atom, default_atom_position);
    PG_RETURN_NULL();
  }
  require_work_memory(atom_positions_bytes(tensor.layout) + tensor.layout.atoms() * 2 * sizeof(std::uint64_t),
                      "computing the positions of a tensor's atoms");
  thread_pool pool;
  backend_interrupts interrupts;
  const std::vector<atom_position> positions = atom_positions(tensor.layout, rows, pool, interrupts);
  for (std::uint64_t atom : rows.atoms()) return_position(result, atom, positions[atom]);
  PG_RETURN_NULL();
}
