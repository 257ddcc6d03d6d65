// The atoms of a tensor that has only some of the rows and columns of a stored one (hartonomous/structures.hpp).
#pragma once

#include "pg/store/atom_reader.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "hartonomous/structures.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::pg {

// The numbers of the rows and columns that are kept of a tensor, ascending.
struct kept_structures {
  std::vector<std::uint32_t> rows, columns;
};

struct selected_atom {
  std::int32_t sequence;  // in the new tensor
  std::int32_t from;      // the stored atom in which its first weight lies that is not missing
  format storage;         // that of this atom
  std::uint32_t count;
  std::vector<std::byte> blocks;
};

// Reads `count` rows of the stored tensor, given their numbers and all their weights, and writes what becomes of the
// kept columns. Called by the threads of a pool.
using row_change =
    std::function<void(const std::uint64_t* numbers, std::size_t count, const float* weights, float* out)>;

class atom_selection {
 public:
  // `into` is the layout of the new tensor. With a change all weights are decoded, changed and encoded again. Errors:
  // 22023 if the selection does not have the rows and columns of the new tensor.
  atom_selection(atom_reader& reader, const stored_tensor& from, const atom_layout& into, kept_structures kept,
                 row_change change, unsigned threads);
  // The atoms of the next rows, in order, without those all of whose weights are missing; nothing at the end. Errors:
  // 22023 if rows of the new length fit no block of a format.
  std::vector<selected_atom> next();

 private:
  // The stored atoms of a row, and the new ones (still of this row alone).
  struct row_job {
    std::uint64_t source = 0, target = 0;
    std::vector<std::vector<std::byte>> bytes;
    std::vector<stored_run> runs;
    std::vector<std::int32_t> sequences;
    std::vector<float> changed;  // the kept columns; empty without a change
    std::vector<selected_atom> made;
  };

  void take_atom(row_job& job);
  std::vector<row_job> read_rows();
  void change(row_job* jobs, std::size_t count) const;
  void select(row_job& job) const;
  selected_atom joined(const selected_atom* rows, std::size_t count);
  std::vector<selected_atom> join(const std::vector<selected_atom>& rows);

  const stored_tensor& from_;
  atom_layout into_;
  kept_structures kept_;
  row_change change_;
  atom_cursor cursor_;
  bool pending_;
  std::size_t next_row_ = 0;  // index in kept_.rows
  thread_pool pool_;
  backend_interrupts interrupts_;
};

}  // namespace hartonomous::pg
