// Selects the atoms of a model that are read, as the text of a query: those of one revision, optionally in a region.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hartonomous::pg {

// An argument of type geometry, which belongs to PostGIS and may be in any schema.
struct region_argument {
  Oid type;
  Datum value;
};

class atom_set {
 public:
  const std::vector<std::string>& parts() const noexcept { return parts_; }
  std::int32_t model() const noexcept { return model_; }
  // The revision that wrote the partition and with it the factors of tensors that have other forms than atoms.
  std::int32_t base_revision() const noexcept { return base_revision_; }
  // The structure of the revision in model_structures; nothing if it is the live one (internal/model_structures.sql).
  const std::optional<std::int32_t>& structure() const noexcept { return structure_; }
  const std::optional<region_argument>& region() const noexcept { return region_; }
  // Raises 40001 if a partition of the set has been moved. Locks keep other sessions from that, but not this session
  // between two reads.
  void require_unchanged() const;
  // A query for `columns` of the atoms `a` of one tensor: $1 is the model, $2 the tensor, $3 the region, which is used
  // if there is one and the atoms of the tensor have positions (`positioned`); `condition` may use $4.
  std::string select(const std::string& columns, bool positioned, const std::string& condition = {}) const;
  // A query for the versions of the rows that have them: tableoid, ctid, xmin, cmin.
  std::string select_versions(bool positioned) const;

 private:
  // A partition, as it was when the set was made.
  struct source {
    Oid partition, parent, file;
    bool is_heap;
  };
  void add_source(std::int32_t revision, const char* parent);

  friend atom_set live_atoms(std::int32_t model);
  friend atom_set atoms_of_revision(std::int32_t model, std::int32_t revision);
  friend atom_set atoms_in_region(atom_set atoms, const region_argument& region);

  std::int32_t model_ = 0, base_revision_ = 0;
  std::optional<std::int32_t> structure_;
  std::vector<std::int32_t> archived_;  // the revisions whose chunks are read, if it is in the archive
  std::vector<std::string> parts_;      // FROM and WHERE; no atom is in two of them
  std::vector<source> sources_;
  std::optional<region_argument> region_;
  std::string in_region_;  // the condition
};

// Both need an spi_session.
atom_set live_atoms(std::int32_t model);
// Errors: 22023 if the model has no such revision, 55000 if the revision was dropped.
atom_set atoms_of_revision(std::int32_t model, std::int32_t revision);
// Compares x and y, and z if the region has it.
atom_set atoms_in_region(atom_set atoms, const region_argument& region);

}  // namespace hartonomous::pg
