// Which atoms of a model are read: those of one revision, everywhere or in a region of space. As text of a query.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// A geometry argument; its type belongs to PostGIS, wherever that is installed.
struct region_argument {
  Oid type;
  Datum value;
};

class atom_set {
 public:
  const std::vector<std::string>& parts() const noexcept { return parts_; }
  std::int32_t model() const noexcept { return model_; }
  // The revision that wrote the partition, and with it the factors of tensors that are not, or not only, atoms.
  std::int32_t base_revision() const noexcept { return base_revision_; }
  const std::optional<region_argument>& region() const noexcept { return region_; }
  // Error 40001 when a partition of the set is no longer where it was. Locks keep other sessions from that; what this
  // one does to them between two reads, they do not.
  void require_unchanged() const;
  // A query of `columns` of the atoms `a` of one tensor: $1 is the model, $2 the tensor, $3 the region when there is
  // one and the tensor is `placed` in space; `condition` may use $4.
  std::string select(const std::string& columns, bool placed, const std::string& condition = {}) const;

 private:
  // A partition as the set was made from it.
  struct source {
    Oid partition, parent, file;
  };
  void add_source(std::int32_t revision, const char* parent);

  friend atom_set live_atoms(std::int32_t model);
  friend atom_set atoms_of_revision(std::int32_t model, std::int32_t revision);
  friend atom_set atoms_in_region(atom_set atoms, const region_argument& region);

  std::int32_t model_ = 0, base_revision_ = 0;
  std::vector<std::string> parts_;  // FROM and WHERE; no atom is in two of them
  std::vector<source> sources_;
  std::optional<region_argument> region_;
  std::string in_region_;  // the condition
};

// Both within an spi_session.
atom_set live_atoms(std::int32_t model);
// Errors: 22023 the model has no such revision, 55000 it is not kept.
atom_set atoms_of_revision(std::int32_t model, std::int32_t revision);
// In X and Y, and in Z where the region has it.
atom_set atoms_in_region(atom_set atoms, const region_argument& region);

}  // namespace hartonomous::pg
