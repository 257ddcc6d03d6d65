// The forms in which a tensor may be stored beside its atoms (sql/internal/forms.sql), as readers see them: each adds
// something to the rows that the atoms make.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

// One form of one tensor, out of the store and ready to be read.
class tensor_part {
 public:
  tensor_part() = default;
  tensor_part(const tensor_part&) = delete;
  tensor_part& operator=(const tensor_part&) = delete;
  virtual ~tensor_part() = default;
  // out += rows from..from + count - 1 of what it stands for.
  virtual void add_rows(std::size_t from, std::size_t count, float* out) const = 0;
};

// Where a tensor's parts stand: beside the partition that this revision of the model wrote.
struct tensor_place {
  std::int32_t model, base_revision;
  std::int64_t layer;
  const std::string& tensor;
  const atom_layout& layout;
};

// What is stored beside the atoms of a revision. Which tensors have anything there is asked once, so this is as long
// lived as a snapshot. Within an spi_session.
class forms_beside_atoms {
 public:
  forms_beside_atoms(std::int32_t model, std::int32_t base_revision);

  bool has(std::int64_t layer) const noexcept { return layers_.count(layer) > 0; }
  // Those of a tensor; most have none. Errors: those of the form.
  std::vector<std::unique_ptr<tensor_part>> open(std::int64_t layer, const std::string& tensor,
                                                 const atom_layout& layout) const;
  // A query, to be added to another by UNION ALL, of the tableoid, ctid, xmin and cmin of all rows that a tensor's
  // parts are made of; $1 is the model, $2 the tensor.
  std::string versions() const;

 private:
  std::int32_t model_, base_revision_;
  std::set<std::int64_t> layers_;
};

}  // namespace hartonomous::pg
