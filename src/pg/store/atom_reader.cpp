// Reading atoms in order (atom_reader.hpp).
#include "pg/store/atom_reader.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace hartonomous::pg {

// ---- queries ---------------------------------------------------------------------------------------------------

atom_reader::~atom_reader() {
  for (auto& of_purpose : plans_) {
    for (SPIPlanPtr plan : of_purpose) {
      if (plan != nullptr) SPI_freeplan(plan);
    }
  }
}

// Plans outlive the SPI session, because generating a text token by token reads the same tensors again and again.
SPIPlanPtr atom_reader::plan(purpose what, bool positioned) {
  SPIPlanPtr& plan = plans_[what][positioned ? 1 : 0];
  if (plan != nullptr) return plan;
  std::string query;
  switch (what) {
    case all:
    case some:
    case range:
      query = atoms_.select("a.atom_sequence, a.atom_data", positioned,
                            what == some    ? " AND a.atom_sequence = ANY ($4)"
                            : what == range ? " AND a.atom_sequence >= $5 AND a.atom_sequence < $6"
                                            : "") +
              " ORDER BY atom_sequence";
      break;
    default:
      // A row version is identified by its position (ctid), the file, and the transaction and command that wrote it.
      // The last are needed because a table that is emptied and refilled has its rows in the same positions.
      query =
          "SELECT coalesce(sum(n), 0)::bigint, coalesce(bit_xor(hash_record_extended(ROW(tableoid, "
          "pg_relation_filenode(tableoid), n, versions), 0)), 0) FROM (SELECT tableoid, count(*) AS n, "
          "bit_xor(hash_record_extended(ROW(ctid, xmin, cmin), 0)) AS versions FROM (" +
          atoms_.select_versions(positioned) +
          (what == versions_of_all_forms ? " UNION ALL " + forms().versions() : std::string()) +
          ") a GROUP BY tableoid) part";
  }
  const Oid region = atoms_.region() ? atoms_.region()->type : INT4OID;
  Oid types[] = {INT4OID, INT8OID, region, INT4ARRAYOID, INT4OID, INT4OID};
  // A query with a region gets a custom plan, in which the region is a constant: its bounding box is then computed once
  // and not for every atom.
  const int options = atoms_.region() ? CURSOR_OPT_CUSTOM_PLAN : 0;
  call([&] {
    plan = SPI_prepare_cursor(query.c_str(), 6, types, options);
    if (plan == nullptr) elog(ERROR, "SPI_prepare_cursor failed: %s", SPI_result_code_string(SPI_result));
    SPI_keepplan(plan);
  });
  return plan;
}

Portal atom_reader::open(purpose what, const stored_tensor& tensor, Datum sequences, std::int32_t first,
                         std::int32_t end) {
  const SPIPlanPtr prepared = plan(what, tensor.positioned);
  Datum values[] = {Int32GetDatum(atoms_.model()),
                    Int64GetDatum(tensor.layer),
                    atoms_.region() ? atoms_.region()->value : Datum{0},
                    sequences,
                    Int32GetDatum(first),
                    Int32GetDatum(end)};
  const char nulls[] = {' ', ' ', atoms_.region() ? ' ' : 'n', what == some ? ' ' : 'n', ' ', ' ', '\0'};
  return call([&] { return SPI_cursor_open(nullptr, prepared, values, nulls, true); });
}

atom_reader::fingerprint atom_reader::fingerprint_of(const stored_tensor& tensor) {
  Portal portal = open(has_other_forms(tensor) ? versions_of_all_forms : versions, tensor);
  call([&] { SPI_cursor_fetch(portal, true, 1); });
  const fingerprint found = [] {
    const query_result row("tensor_atoms");
    if (row.rows() != 1) throw error(sqlstate::internal_error, "the versions of the atoms are not one row");
    return fingerprint{row.bigint(0, 1), row.bigint(0, 2)};
  }();
  call([&] { SPI_cursor_close(portal); });
  return found;
}

const forms_beside_atoms& atom_reader::forms() {
  if (!forms_) forms_.emplace(atoms_.model(), atoms_.base_revision());
  return *forms_;
}

bool atom_reader::has_other_forms(const stored_tensor& tensor) {
  return !(tensor.positioned && atoms_.region()) && forms().has(tensor.layer);
}

std::vector<std::unique_ptr<tensor_part>> atom_reader::parts_of(const stored_tensor& tensor) {
  if (!has_other_forms(tensor)) return {};
  return forms().open(tensor.layer, tensor.name, tensor.layout);
}

// ---- the cursor ------------------------------------------------------------------------------------------------

atom_cursor::atom_cursor(atom_reader& reader, const stored_tensor& tensor, row_range rows) : tensor_(tensor) {
  if (rows.first == 0 && rows.count == tensor.layout.rows) {
    portal_ = reader.open(atom_reader::all, tensor);
    return;
  }
  portal_ =
      reader.open(atom_reader::range, tensor, Datum{0}, static_cast<std::int32_t>(tensor.layout.first_atom(rows.first)),
                  static_cast<std::int32_t>(tensor.layout.end_atom(rows.first + rows.count)));
}

atom_cursor::atom_cursor(atom_reader& reader, const stored_tensor& tensor, const std::vector<std::int32_t>& sequences)
    : tensor_(tensor) {
  const Datum array = call([&] {
    auto* numbers = static_cast<Datum*>(palloc(sizeof(Datum) * (sequences.size() + 1)));
    for (std::size_t i = 0; i < sequences.size(); ++i) numbers[i] = Int32GetDatum(sequences[i]);
    return PointerGetDatum(
        construct_array(numbers, static_cast<int>(sequences.size()), INT4OID, 4, true, TYPALIGN_INT));
  });
  portal_ = reader.open(atom_reader::some, tensor, array);
}

bool atom_cursor::fetch() {
  if (portal_ == nullptr) return false;
  rows_.reset();
  call([&] { SPI_cursor_fetch(portal_, true, batch); });
  rows_.emplace("tensor_atoms");
  row_ = in_memory_ = 0;
  count_ = rows_->rows();
  interrupts_.check();
  if (count_ > 0) {
    rows_->values(1, INT4OID, sequences_.data());
    rows_->values(2, weights_, values_.data());
    return true;
  }
  rows_.reset();
  call([&] { SPI_cursor_close(portal_); });
  portal_ = nullptr;
  return false;
}

bool atom_cursor::next() {
  atom_.reset();
  if (row_ == count_ && !fetch()) return false;
  if (row_ == in_memory_) in_memory_ += toasted_.fetch(values_.data() + row_, count_ - row_);
  const std::int64_t sequence = DatumGetInt32(sequences_[row_]);
  if (sequence <= last_) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "atom " + std::to_string(sequence) + " of tensor \"" + tensor_.name + "\" is stored more than once", {},
                "Restore the primary key of tensor_atoms.");
  }
  last_ = sequence;
  sequence_ = static_cast<std::uint64_t>(sequence);
  atom_.emplace(values_[row_]);
  ++row_;
  if (sequence_ >= tensor_.layout.atoms() || atom_->count() != tensor_.layout.length_of(sequence_)) {
    throw error(sqlstate::object_not_in_prerequisite_state,
                "atom " + std::to_string(sequence_) + " of tensor \"" + tensor_.name + "\" does not fit its matrix",
                "It has " + std::to_string(atom_->count()) + " weights.");
  }
  return true;
}

// ---- as blocks -------------------------------------------------------------------------------------------------

namespace {

// All-zero bytes are zeros in every format. Written in chunks, since a tensor may lack all of its atoms.
void write_zeros(const atom_layout& layout, std::uint64_t from, std::uint64_t to, format f, byte_sink& sink) {
  static constexpr std::size_t piece = 8192;
  static constexpr std::byte zeros[piece] = {};
  backend_interrupts interrupts;
  for (std::uint64_t atom = from; atom < to; ++atom) {
    std::uint64_t left = bytes_of(f, layout.length_of(atom));
    for (; left > piece; left -= piece) {
      sink.write(zeros, piece);
      interrupts.check();
    }
    sink.write(zeros, left);
    interrupts.check();
  }
}

void write_floats(span<const float> values, format f, byte_sink& sink) {
  weights_varlena* converted = encode(f, values, {});
  sink.write(converted->blocks(), VARSIZE(converted) - sizeof(weights_varlena));
  pfree(converted);
}

void write_atom(const weights_view& atom, format f, byte_sink& sink) {
  if (atom.id() == f) {
    sink.write(atom.blocks().data(), atom.blocks().size());
  } else {
    write_floats(weights_floats(atom).values(), f, sink);
  }
}

// If a tensor has other forms besides atoms, all its rows have to be computed and encoded.
void copy_dense(const stored_tensor& tensor, atom_rows&& rows, format f, byte_sink& sink) {
  const atom_layout& layout = tensor.layout;
  std::uint64_t height = std::clamp<std::uint64_t>((1 << 20) / std::max<std::uint64_t>(layout.row_length, 1), 1, 256);
  height = std::max<std::uint64_t>(height / layout.rows_per_atom(), 1) * layout.rows_per_atom();  // whole atoms
  buffer<float> panel(height * layout.row_length);
  for (std::uint64_t row = 0; row < layout.rows; row += height) {
    const std::uint64_t count = std::min(height, layout.rows - row);
    rows.read(count, panel.data());
    const float* at = panel.data();
    for (std::uint64_t atom = layout.first_atom(row); atom < layout.end_atom(row + count); ++atom) {
      write_floats({at, layout.length_of(atom)}, f, sink);
      at += layout.length_of(atom);
    }
  }
}

}  // namespace

void atom_reader::copy_tensor(const stored_tensor& tensor, format f, byte_sink& sink) {
  if (has_other_forms(tensor)) {
    copy_dense(tensor, atom_rows(*this, tensor, tensor.all_rows()), f, sink);
    return;
  }
  atom_cursor cursor(*this, tensor, tensor.all_rows());
  std::uint64_t next = 0;
  while (cursor.next()) {
    write_zeros(tensor.layout, next, cursor.sequence(), f, sink);
    write_atom(cursor.atom(), f, sink);
    next = cursor.sequence() + 1;
  }
  write_zeros(tensor.layout, next, tensor.layout.atoms(), f, sink);
}

// ---- as rows of floats -----------------------------------------------------------------------------------------

void atom_rows::read(std::size_t count, float* out) {
  const atom_layout& layout = tensor_.layout;
  const std::uint64_t first = next_row_ * layout.row_length, end = first + count * layout.row_length;
  std::uint64_t written = first;  // the weights of the tensor before this one are written
  while (pending_) {
    const std::uint64_t at = layout.offset_of(cursor_.sequence()), to = at + cursor_.atom().count();
    if (at >= end) break;
    if (at > written) std::fill(out + (written - first), out + (at - first), 0.0f);
    decode_between(cursor_.atom(), at, first, end, out);
    written = std::min(to, end);
    if (to > end) break;  // the rest of the atom is in the next rows
    pending_ = cursor_.next();
  }
  std::fill(out + (written - first), out + (end - first), 0.0f);
  for (const auto& part : parts_) part->add_rows(next_row_, count, out);
  next_row_ += count;
}

void atom_reader::read_rows(const stored_tensor& tensor, span<const std::uint32_t> rows, float* out) {
  const atom_layout& layout = tensor.layout;
  std::vector<std::int32_t> sequences;
  for (std::uint32_t row : rows) {
    for (std::uint64_t atom = layout.first_atom(row); atom < layout.end_atom(row + std::uint64_t{1}); ++atom) {
      const auto sequence = static_cast<std::int32_t>(atom);
      if (sequences.empty() || sequences.back() < sequence) sequences.push_back(sequence);
    }
  }
  std::fill_n(out, rows.size() * layout.row_length, 0.0f);
  atom_cursor cursor(*this, tensor, sequences);
  while (cursor.next()) {
    const std::uint64_t at = layout.offset_of(cursor.sequence()), end = at + cursor.atom().count();
    const auto* row = std::lower_bound(rows.begin(), rows.end(), layout.row_of(cursor.sequence()));
    for (; row != rows.end() && *row * layout.row_length < end; ++row) {
      const std::uint64_t first = *row * layout.row_length;
      decode_between(cursor.atom(), at, first, first + layout.row_length,
                     out + (row - rows.begin()) * layout.row_length);
    }
  }
  for (const auto& part : parts_of(tensor)) {
    for (std::size_t i = 0; i < rows.size(); ++i) part->add_rows(rows[i], 1, out + i * layout.row_length);
  }
}

}  // namespace hartonomous::pg
