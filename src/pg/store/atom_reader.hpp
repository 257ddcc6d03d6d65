// Reads the atoms of one tensor in order: as blocks of a chosen format, or as rows of floats. The one place where it
// is decided where a tensor's rows come from: its atoms, plus what its other forms add (tensor_forms.hpp).
#pragma once

#include "pg/store/atom_set.hpp"
#include "pg/base/interrupts.hpp"
#include "pg/store/tensor_forms.hpp"
#include "pg/store/toast_batch.hpp"
#include "pg/base/weights.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/space.hpp"
#include "hartonomous/tensor_source.hpp"

namespace hartonomous::pg {

// A tensor as the store has it.
struct stored_tensor {
  std::int64_t layer;
  std::string name;
  atom_layout layout;
  bool placed;  // its atoms have places of their own: it is no vector

  row_range all_rows() const noexcept { return {0, layout.rows}; }
};

class atom_cursor;

// Queries of the atoms in a set; the snapshot is the active one.
class atom_reader {
 public:
  explicit atom_reader(atom_set atoms) : atoms_(std::move(atoms)) {}
  atom_reader(const atom_reader&) = delete;
  atom_reader& operator=(const atom_reader&) = delete;
  ~atom_reader();

  const atom_set& atoms() const noexcept { return atoms_; }
  // Writes the tensor as blocks of `f` to `sink`, atom after atom, missing ones as zeros. Within an spi_session, as all
  // below. Error 55000, naming the tensor, when an atom's weights are not as many as its place in the matrix has.
  void copy_tensor(const stored_tensor& tensor, format f, byte_sink& sink);
  // Some rows, ascending, one after the other to `out`.
  void read_rows(const stored_tensor& tensor, span<const std::uint32_t> rows, float* out);
  // How many atoms the tensor has and a number that changes, but for a chance of 2^-64, with any change of them by
  // any route: what is hashed is the version of each row.
  struct fingerprint {
    std::int64_t atoms;
    std::int64_t versions;
  };
  fingerprint fingerprint_of(const stored_tensor& tensor);
  // What stands beside the tensor's atoms. It has no place in space: of a region it is no part.
  std::vector<std::unique_ptr<tensor_part>> parts_of(const stored_tensor& tensor);

 private:
  friend class atom_cursor;
  enum purpose { all, some, range, versions, versions_of_all_forms, purposes };

  const forms_beside_atoms& forms();
  bool has_other_forms(const stored_tensor& tensor);
  SPIPlanPtr plan(purpose what, bool placed);
  // `sequences` are those of `some`, `first` and `end` those of `range`.
  Portal open(purpose what, const stored_tensor& tensor, Datum sequences = {}, std::int32_t first = 0,
              std::int32_t end = 0);

  atom_set atoms_;
  std::optional<forms_beside_atoms> forms_;  // once it has been asked for
  SPIPlanPtr plans_[purposes][2] = {};
};

// The atoms of a tensor one after the other.
class atom_cursor {
 public:
  // Those of some rows; the ones before them are not read.
  atom_cursor(atom_reader& reader, const stored_tensor& tensor, row_range rows);
  // Only those of these numbers.
  atom_cursor(atom_reader& reader, const stored_tensor& tensor, const std::vector<std::int32_t>& sequences);
  atom_cursor(const atom_cursor&) = delete;
  atom_cursor& operator=(const atom_cursor&) = delete;
  ~atom_cursor() = default;  // what is open is the transaction's to close

  bool next();  // false at the end
  std::uint64_t sequence() const noexcept { return sequence_; }
  const weights_view& atom() const { return *atom_; }

 private:
  static constexpr std::size_t batch = 64;  // rows in memory at once

  bool fetch();

  const stored_tensor& tensor_;
  Portal portal_;
  const Oid weights_ = call([] { return weights_type(); });
  std::optional<query_result> rows_;
  std::array<Datum, batch> sequences_, values_;
  std::uint64_t row_ = 0, count_ = 0, sequence_ = 0;
  std::int64_t last_ = -1;       // atom: each comes after the one before, so that none is written where another was
  std::uint64_t in_memory_ = 0;  // values up to here have been fetched, or left to weights_view
  toast_batch toasted_;
  std::optional<weights_view> atom_;
  backend_interrupts interrupts_;
};

// Rows of a matrix, one after the other, as floats; missing atoms are zeros.
class atom_rows {
 public:
  atom_rows(atom_reader& reader, const stored_tensor& tensor, row_range rows)
      : tensor_(tensor),
        parts_(reader.parts_of(tensor)),
        cursor_(reader, tensor, rows),
        pending_(cursor_.next()),
        next_row_(rows.first) {}
  // The next `count` rows, to `out`.
  void read(std::size_t count, float* out);

 private:
  const stored_tensor& tensor_;
  std::vector<std::unique_ptr<tensor_part>> parts_;
  atom_cursor cursor_;
  bool pending_;  // the cursor is at an atom that has not been read
  std::uint64_t next_row_ = 0;
};

}  // namespace hartonomous::pg
