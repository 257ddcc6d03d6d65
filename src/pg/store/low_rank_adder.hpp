// Adds an adapter's product of low rank to the weights of a tensor, some rows at a time (hartonomous/low_rank.hpp).
#pragma once

#include "pg/base/interrupts.hpp"
#include "pg/store/atom_quantizer.hpp"
#include "pg/store/stored_matrix.hpp"
#include "pg/store/tensor_operation.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hartonomous/progress.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::pg {

class low_rank_adder final : public atom_quantizer {
 public:
  // For an operation "merge". Needs an spi_session. Errors: 55000 if the adapter's tensors are gone, have no atoms or
  // do not fit; 53200 beyond hartonomous.max_work_memory; those of find_matrix().
  low_rank_adder(Oid source, std::int64_t layer, const tensor_operation& operation);

  // Atoms keep their formats; those that are missing (pruned) stay so. Errors: 22023 if the atoms of the rows are in
  // several formats, or in one that cannot be written; those of quantizing.
  bool next() override;

 private:
  std::vector<float> read_factor(std::int64_t layer, const char* what) const;
  void find_format(std::uint64_t count);
  void report_progress();

  stored_matrix matrix_;
  std::int32_t adapter_;
  float scale_;
  std::vector<float> b_, a_;  // rows x rank, rank x columns
  std::size_t rank_ = 0;
  std::uint64_t next_row_ = 0;
  std::vector<float> weights_;
  std::vector<std::byte> blocks_;
  thread_pool pool_;
  backend_interrupts interrupts_;
  progress_timer timer_;
};

}  // namespace hartonomous::pg
