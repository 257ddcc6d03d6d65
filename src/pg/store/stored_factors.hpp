// The factors U, s and VT of a stored tensor (sql/internal/factors.sql), decoded and ready for multiplication.
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
  // Takes values of type weights; raises 55000 with the name of the tensor if they are not the factors of a matrix of
  // this layout, 53200 beyond max_work_memory.
  stored_factors(std::size_t rows, std::size_t columns, std::size_t rank, Datum u, Datum s, Datum vt,
                 const std::string& tensor);

  factor_view view() const noexcept { return {rows_, columns_, rank_, u_, s_, vt_}; }
  void add_rows(std::size_t from, std::size_t count, float* out) const override;

 private:
  std::size_t rows_, columns_, rank_;
  buffer<float> u_, s_, vt_;
};

// Reads the factors of a tensor, if it has any, with the active snapshot. Needs an spi_session.
std::unique_ptr<tensor_part> open_factors(const tensor_place& place);

}  // namespace hartonomous::pg
