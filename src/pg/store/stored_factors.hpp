// The factors U, s, Vt of a tensor, as the store has them (sql/internal/factors.sql): decoded, ready to be multiplied
// out.
#pragma once

#include "pg/base/memory.hpp"
#include "pg/store/tensor_forms.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include "hartonomous/svd.hpp"

namespace hartonomous::pg {

class stored_factors final : public tensor_part {
 public:
  // Factors from values of type weights; error 55000, naming the tensor, when they are not those of a matrix of this
  // layout, 53200 beyond max_work_memory.
  stored_factors(std::size_t rows, std::size_t columns, std::size_t rank, Datum u, Datum s, Datum vt,
                 const std::string& tensor);

  factor_view view() const noexcept { return {rows_, columns_, rank_, u_, s_, vt_}; }
  void add_rows(std::size_t from, std::size_t count, float* out) const override;

 private:
  std::size_t rows_, columns_, rank_;
  buffer<float> u_, s_, vt_;
};

// The factors of a tensor, if it has any. Within an spi_session, with the active snapshot.
std::unique_ptr<tensor_part> open_factors(const tensor_place& place);

}  // namespace hartonomous::pg
