// The factors U, s, Vt of a tensor, as the store has them (sql/61-factors.sql): decoded, ready to be multiplied out.
#pragma once

#include "pg/base/memory.hpp"

#include <cstdint>
#include <optional>
#include <string>

#include "hartonomous/space.hpp"
#include "hartonomous/svd.hpp"

namespace hartonomous::pg {

class stored_factors {
 public:
  // Factors from values of type weights; error 55000, naming the tensor, when they are not those of a matrix of this
  // layout, 53200 beyond max_work_memory.
  stored_factors(std::size_t rows, std::size_t columns, std::size_t rank, Datum u, Datum s, Datum vt,
                 const std::string& tensor);

  factor_view view() const noexcept { return {rows_, columns_, rank_, u_, s_, vt_}; }
  // out += rows from..from + count - 1 of the product.
  void add_rows(std::size_t from, std::size_t count, float* out) const;

 private:
  std::size_t rows_, columns_, rank_;
  buffer<float> u_, s_, vt_;
};

// Those of a tensor of a revision, if it has any. Within an spi_session, with the active snapshot.
std::optional<stored_factors> find_factors(std::int32_t model, std::int32_t base_revision, std::int64_t layer,
                                           const std::string& tensor, const atom_layout& layout);

}  // namespace hartonomous::pg
