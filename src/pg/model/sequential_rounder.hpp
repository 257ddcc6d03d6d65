// Which tensors a run quantizes in sequence, and the blocks that they become.
#pragma once

#include "pg/base/interrupts.hpp"
#include "pg/model/model_tensors.hpp"
#include "pg/store/calibration_statistics.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/sequential_quantizer.hpp"
#include "hartonomous/thread_pool.hpp"

namespace hartonomous::pg {

// The partition that a run writes, and the one that it reads, which is the live one.
struct rewritten_partition {
  std::int32_t model = 0, revision = 0;
  Oid source = InvalidOid, target = InvalidOid;
};

// A tensor that a step of the run quantizes in sequence.
struct planned_tensor {
  std::int64_t layer = 0;
  format f = format::F32;
  hessian_options options;
  // With the gradients by the outputs: where they are stored, and how they are damped.
  std::optional<calibration_place> gradients;
  double damping = 0.0;
};

// Those of one block by name, or those outside the blocks if `block` is -1. Needs an spi_session.
std::map<std::string, planned_tensor> planned_tensors(const rewritten_partition& run, std::int32_t block);

// Keeps the blocks of what it rounds. Needs an spi_session. Errors: those of quantize_rows() and
// require_whole_blocks().
class block_rounder final : public matrix_rounder {
 public:
  // `tensors` are those before rounding. All arguments must outlive the object.
  block_rounder(const rewritten_partition& run, model_tensors& tensors, std::map<std::string, planned_tensor> planned);

  bool rounds(const std::string& tensor) override { return planned_.count(tensor) > 0; }
  void round(const std::string& tensor, row_range rows, const input_hessian& hessian,
             std::vector<float>& weights) override;
  // The blocks of all planned tensors, by layer. Rows that no token has used, those of experts, are rounded without a
  // Hessian.
  std::map<std::int64_t, std::vector<std::byte>> finish();

 private:
  struct rounded {
    std::vector<std::byte> blocks;
    std::vector<std::uint8_t> missing;
    std::vector<bool> rows_done;
  };

  rounded& open(const std::string& tensor);

  const rewritten_partition& run_;
  model_tensors& tensors_;
  std::map<std::string, planned_tensor> planned_;
  std::map<std::string, rounded> rounded_;
  thread_pool pool_;
  backend_interrupts interrupts_;
};

}  // namespace hartonomous::pg
