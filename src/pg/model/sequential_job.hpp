// Quantizing the blocks of a model one after the other (hartonomous/sequential_quantizer.hpp), in a run that writes one
// tensor at a time and may commit after each: the first tensor of a block has the whole block quantized, the others
// take their share of the result. The output matrix comes after the last block.
#pragma once

#include "pg/model/sequential_rounder.hpp"
#include "pg/store/atom_quantizer.hpp"
#include "pg/store/tensor_operation.hpp"

#include <cstdint>
#include <vector>

namespace hartonomous::pg {

// All rows of a tensor, as quantized together with its block. The steps of the run tell which tensors of a block are
// quantized in this way; the others count as they are.
//
// Between calls the session keeps the residual streams and the tensors of the last block. The end of a transaction that
// fails frees them, and so does release_sequential_job(); then the next call runs the blocks that the run has written
// again, without quantizing, and gives the same bytes.
//
// Needs an spi_session. Errors: 55000 if the calibration set has no text, or another one than the statistics were
// collected from; 53200 if the streams do not fit into hartonomous.max_work_memory; those of language_model and
// quantize_rows().
class sequential_tensor final : public atom_quantizer {
 public:
  sequential_tensor(const rewritten_partition& run, std::int64_t layer, const tensor_operation& operation);
  bool next() override;

 private:
  bool done_ = false;
  std::vector<std::byte> blocks_;
};

// Frees what the session keeps.
void release_sequential_job() noexcept;

}  // namespace hartonomous::pg
