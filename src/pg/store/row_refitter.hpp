// Refits the weights that stay when atoms are pruned, some rows of a matrix at a time (hartonomous/importance.hpp).
#pragma once

#include "pg/base/interrupts.hpp"
#include "pg/store/atom_quantizer.hpp"
#include "pg/store/stored_matrix.hpp"
#include "pg/store/tensor_operation.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "hartonomous/importance.hpp"
#include "hartonomous/progress.hpp"

namespace hartonomous::pg {

class row_refitter final : public atom_quantizer {
 public:
  // For an operation "prune" with a calibration set. Needs an spi_session. Errors: those of find_matrix().
  row_refitter(Oid source, std::int64_t layer, const tensor_operation& operation);

  // Rows of which nothing is removed stay as they are, and so do those whose refitted weights the format cannot hold.
  // Errors: 55000 if there is no Gram matrix, or an atom does not fit; 22023 if atoms are not all in F32, F16 or BF16;
  // 53200 beyond hartonomous.max_work_memory; those of damped_hessian.
  bool next() override;

 private:
  bool read_panel(std::uint64_t count);
  void refit(std::uint64_t count);
  void check_format(std::uint64_t atom, format f);
  void prepare_hessian(std::size_t expert);
  void report_progress();

  stored_matrix matrix_;
  float least_;
  double damping_;
  std::uint64_t next_row_ = 0;
  std::optional<damped_hessian> hessian_;
  std::size_t expert_ = 0;  // whose Hessian that is
  bool known_format_ = false;
  std::vector<float> weights_;
  std::vector<std::uint8_t> gone_, changed_;
  std::vector<std::byte> blocks_;
  thread_pool pool_;
  backend_interrupts interrupts_;
  progress_timer timer_;
};

}  // namespace hartonomous::pg
