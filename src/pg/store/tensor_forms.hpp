// The forms in which a tensor may be stored besides its atoms (sql/internal/forms.sql), as seen by readers: each form
// adds something to the rows made from atoms.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

// One form of one tensor, read from the store.
class tensor_part {
 public:
  tensor_part() = default;
  tensor_part(const tensor_part&) = delete;
  tensor_part& operator=(const tensor_part&) = delete;
  virtual ~tensor_part() = default;
  // Adds rows from..from + count - 1 of this form to out.
  virtual void add_rows(std::size_t from, std::size_t count, float* out) const = 0;
};

// Identifies the forms of a tensor: they belong to the partition that this revision of the model wrote.
struct tensor_place {
  std::int32_t model, base_revision;
  std::int64_t layer;
  const std::string& tensor;
  const atom_layout& layout;
};

// The forms stored for a revision besides its atoms. Which tensors have any is queried only once, so an object must not
// outlive the snapshot. Needs an spi_session.
class forms_beside_atoms {
 public:
  forms_beside_atoms(std::int32_t model, std::int32_t base_revision);

  bool has(std::int64_t layer) const noexcept { return layers_.count(layer) > 0; }
  // The forms of a tensor; most tensors have none. Errors: those of the form.
  std::vector<std::unique_ptr<tensor_part>> open(std::int64_t layer, const std::string& tensor,
                                                 const atom_layout& layout) const;
  // A query, to be combined with another one by UNION ALL, that returns tableoid, ctid, xmin and cmin of all rows of
  // the forms of a tensor; $1 is the model, $2 the tensor.
  std::string versions() const;

 private:
  std::int32_t model_, base_revision_;
  std::set<std::int64_t> layers_;
};

}  // namespace hartonomous::pg
