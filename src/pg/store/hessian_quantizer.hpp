// Quantizes the atoms of a tensor against the Hessian of its input, some rows of the matrix at a time: an atom may be a
// part of a row, but the weights of a whole row depend on each other.
#pragma once

#include "pg/store/atom_quantizer.hpp"
#include "pg/store/layer_hessian.hpp"
#include "pg/store/stored_matrix.hpp"
#include "pg/store/tensor_operation.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "hartonomous/hessian.hpp"
#include "hartonomous/progress.hpp"

namespace hartonomous::pg {

class hessian_quantizer final : public atom_quantizer {
 public:
  // Weights of atoms that are missing count as zero and stay so.
  // With two_sided the whole matrix is quantized at once. `gram` is used if no Gram matrix of the input is stored.
  hessian_quantizer(const stored_matrix& matrix, format f, double damping, unsigned sweeps, bool two_sided,
                    std::optional<stored_gram> gram);

  // Errors: those of layer_hessian() and quantize_rows(); 55000 if an atom does not fit the matrix.
  bool next() override;

 private:
  std::uint64_t work_bytes() const noexcept;
  void open_hessians(std::size_t expert, interrupt_checker& interrupts);
  void report_progress();

  stored_matrix matrix_;
  format f_;
  double damping_;
  unsigned sweeps_;
  bool two_sided_;
  std::optional<stored_gram> gram_;
  std::uint64_t panel_rows_, next_row_ = 0;
  std::shared_ptr<const input_hessian> hessian_;
  std::unique_ptr<const input_hessian> outputs_;  // of the gradients by the outputs, if two_sided_
  std::size_t expert_ = 0;                        // whose Hessian that is
  std::vector<std::byte> blocks_;
  thread_pool pool_;
  progress_timer timer_;
};

// For an operation of quantizing by that method; `gram_of` makes the Gram matrix of a tensor whose input has none, if
// there is one. Needs an spi_session; errors: those of query_result and of `gram_of`.
using gram_maker = std::function<std::optional<stored_gram>(const calibration_place& place)>;
std::unique_ptr<hessian_quantizer> open_hessian_quantizer(Oid source, std::int64_t layer,
                                                          const tensor_operation& operation, const gram_maker& gram_of);

}  // namespace hartonomous::pg
