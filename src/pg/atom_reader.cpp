// Reading atoms in order (atom_reader.hpp).
#include "pg/atom_reader.hpp"

#include "pg/interrupts.hpp"

namespace hartonomous::pg {

atom_reader::atom_reader(std::int32_t model) : model_(model) {
  call([&] {
    Oid types[] = {INT4OID, INT8OID};
    plan_ = SPI_prepare(
        "SELECT atom_sequence, atom_data FROM hartonomous.tensor_atoms "
        "WHERE model_id = $1 AND layer_id = $2 ORDER BY atom_sequence",
        2, types);
    if (plan_ == nullptr) elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
  });
}

void atom_reader::copy_tensor(std::int64_t layer, const std::string& name, const atom_layout& layout, format f,
                              byte_sink& sink) {
  constexpr long batch = 64;  // atoms in memory at once
  Datum values[] = {Int32GetDatum(model_), Int64GetDatum(layer)};
  Portal portal = call([&] { return SPI_cursor_open(nullptr, plan_, values, nullptr, true); });
  std::uint64_t next = 0;
  backend_interrupt interrupts;
  for (;;) {
    call([&] { SPI_cursor_fetch(portal, true, batch); });
    SPITupleTable* const rows = SPI_tuptable;
    if (SPI_processed == 0) break;
    for (std::uint64_t i = 0; i < SPI_processed; ++i) {
      const auto sequence = static_cast<std::uint64_t>(spi_int32(i, 1));
      bool is_null;
      const weights_view atom(spi_field(i, 2, &is_null));
      if (sequence >= layout.atoms() || atom.count() != layout.length_of(sequence)) {
        throw error("55000", "atom " + std::to_string(sequence) + " of tensor \"" + name + "\" does not fit its matrix",
                    "It has " + std::to_string(atom.count()) + " weights.");
      }
      write_zeros(layout, next, sequence, f, sink);
      write_atom(atom, f, sink);
      next = sequence + 1;
    }
    call([&] { SPI_freetuptable(rows); });
    interrupts.poll();
  }
  call([&] { SPI_cursor_close(portal); });
  write_zeros(layout, next, layout.atoms(), f, sink);
}

// All-zero bytes mean zeros in every format.
void atom_reader::write_zeros(const atom_layout& layout, std::uint64_t from, std::uint64_t to, format f,
                              byte_sink& sink) {
  std::vector<std::byte> zeros;
  for (std::uint64_t atom = from; atom < to; ++atom) {
    zeros.assign(bytes_of(f, layout.length_of(atom)), std::byte{0});
    sink.write(zeros.data(), zeros.size());
  }
}

void atom_reader::write_atom(const weights_view& atom, format f, byte_sink& sink) {
  if (atom.id() == f) {
    sink.write(atom.blocks().data(), atom.blocks().size());
    return;
  }
  weights_varlena* converted = encode(f, weights_floats(atom).values(), {});
  sink.write(converted->blocks(), VARSIZE(converted) - sizeof(weights_varlena));
  pfree(converted);
}

}  // namespace hartonomous::pg
