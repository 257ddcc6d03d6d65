// Reads the atoms of one tensor in order, as one contiguous run of blocks in a chosen format.
#pragma once

#include "pg/spi.hpp"
#include "pg/weights.hpp"

#include <cstdint>
#include <vector>

#include "hartonomous/bytes.hpp"
#include "hartonomous/space.hpp"

namespace hartonomous::pg {

// Within an spi_session. Missing atoms become zeros, atoms of another format are converted, and the snapshot is the
// calling query's.
class atom_reader {
 public:
  explicit atom_reader(std::int32_t model);
  // Writes layout.atoms() atoms as blocks of `f` to `sink`. Error 55000, naming the tensor, when an atom's weights
  // are not as many as its place in the matrix has.
  void copy_tensor(std::int64_t layer, const std::string& name, const atom_layout& layout, format f, byte_sink& sink);

 private:
  void write_zeros(const atom_layout& layout, std::uint64_t from, std::uint64_t to, format f, byte_sink& sink);
  void write_atom(const weights_view& atom, format f, byte_sink& sink);

  std::int32_t model_;
  SPIPlanPtr plan_ = nullptr;
};

}  // namespace hartonomous::pg
