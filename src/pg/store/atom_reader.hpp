// Reads the atoms of one tensor in order, as blocks of a given format or as rows of floats. All code that needs the
// rows of a tensor reads them here: its atoms, plus what its other forms contribute (tensor_forms.hpp).
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

// A tensor as it is stored.
struct stored_tensor {
  std::int64_t layer;
  std::string name;
  atom_layout layout;
  bool positioned;  // its atoms have positions of their own, which those of vectors have not

  row_range all_rows() const noexcept { return {0, layout.rows}; }
};

class atom_cursor;

// Queries the atoms of a set with the active snapshot.
class atom_reader {
 public:
  explicit atom_reader(atom_set atoms) : atoms_(std::move(atoms)) {}
  atom_reader(const atom_reader&) = delete;
  atom_reader& operator=(const atom_reader&) = delete;
  ~atom_reader();

  const atom_set& atoms() const noexcept { return atoms_; }
  // Writes the tensor to `sink` as blocks of `f`, atom by atom, with zeros for missing atoms. Like the functions below
  // it needs an spi_session. Raises 55000 with the name of the tensor if an atom has not as many weights as its
  // position in the matrix implies.
  void copy_tensor(const stored_tensor& tensor, format f, byte_sink& sink);
  // Copies the given rows, in ascending order, to `out`.
  void read_rows(const stored_tensor& tensor, span<const std::uint32_t> rows, float* out);
  // The number of atoms, and a hash of all row versions. Any change of the atoms, however it is made, changes the
  // fingerprint with a probability of 1 - 2^-64.
  struct fingerprint {
    std::int64_t atoms;
    std::int64_t versions;
  };
  fingerprint fingerprint_of(const stored_tensor& tensor);
  // The other forms of the tensor. They have no position, so they are not part of any region.
  std::vector<std::unique_ptr<tensor_part>> parts_of(const stored_tensor& tensor);

 private:
  friend class atom_cursor;
  enum purpose { all, some, range, versions, versions_of_all_forms, purposes };

  const forms_beside_atoms& forms();
  bool has_other_forms(const stored_tensor& tensor);
  SPIPlanPtr plan(purpose what, bool positioned);
  // `sequences` are for `some`, `first` and `end` for `range`.
  Portal open(purpose what, const stored_tensor& tensor, Datum sequences = {}, std::int32_t first = 0,
              std::int32_t end = 0);

  atom_set atoms_;
  std::optional<forms_beside_atoms> forms_;  // read on first use
  SPIPlanPtr plans_[purposes][2] = {};
};

// Iterates over the atoms of a tensor.
class atom_cursor {
 public:
  // Starts at the first of the given rows; atoms before it are not read.
  atom_cursor(atom_reader& reader, const stored_tensor& tensor, row_range rows);
  // Only the atoms with these sequence numbers.
  atom_cursor(atom_reader& reader, const stored_tensor& tensor, const std::vector<std::int32_t>& sequences);
  atom_cursor(const atom_cursor&) = delete;
  atom_cursor& operator=(const atom_cursor&) = delete;
  ~atom_cursor() = default;  // an open portal is closed by the transaction

  bool next();  // false at the end
  std::uint64_t sequence() const noexcept { return sequence_; }
  const weights_view& atom() const { return *atom_; }

 private:
  static constexpr std::size_t batch = 64;  // rows fetched at a time

  bool fetch();

  const stored_tensor& tensor_;
  Portal portal_;
  const Oid weights_ = call([] { return weights_type(); });
  std::optional<query_result> rows_;
  std::array<Datum, batch> sequences_, values_;
  std::uint64_t row_ = 0, count_ = 0, sequence_ = 0;
  std::int64_t last_ = -1;       // the previous atom; sequence numbers must increase, so that no atom is written twice
  std::uint64_t in_memory_ = 0;  // values before this one have been fetched, or are left to weights_view
  toast_batch toasted_;
  std::optional<weights_view> atom_;
  backend_interrupts interrupts_;
};

// The rows of a matrix, one after the other, as floats; missing atoms are zeros.
class atom_rows {
 public:
  atom_rows(atom_reader& reader, const stored_tensor& tensor, row_range rows)
      : tensor_(tensor),
        parts_(reader.parts_of(tensor)),
        cursor_(reader, tensor, rows),
        pending_(cursor_.next()),
        next_row_(rows.first) {}
  // Reads the next `count` rows to `out`.
  void read(std::size_t count, float* out);

 private:
  const stored_tensor& tensor_;
  std::vector<std::unique_ptr<tensor_part>> parts_;
  atom_cursor cursor_;
  bool pending_;  // the cursor is at an atom that has not been decoded
  std::uint64_t next_row_ = 0;
};

}  // namespace hartonomous::pg
