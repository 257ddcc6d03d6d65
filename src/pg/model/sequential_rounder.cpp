// Quantizing what the sequence reaches (sequential_rounder.hpp).
#include "pg/model/sequential_rounder.hpp"

#include "pg/base/guc.hpp"
#include "pg/store/atom_matrix.hpp"
#include "pg/store/atom_quantizer.hpp"
#include "pg/store/layer_hessian.hpp"
#include "pg/store/tensor_operation.hpp"

#include <algorithm>
#include <cstring>
#include <memory>
#include <utility>

#include "hartonomous/codec.hpp"

namespace hartonomous::pg {

std::map<std::string, planned_tensor> planned_tensors(const rewritten_partition& run, std::int32_t block) {
  const query_result found = execute(
      "SELECT l.layer_id, l.layer_name, s.arguments FROM hartonomous.compression_runs r "
      "JOIN hartonomous.compression_steps s ON s.run_id OPERATOR(pg_catalog.=) r.run_id "
      "JOIN hartonomous.model_layers l ON l.layer_id OPERATOR(pg_catalog.=) s.layer_id "
      "WHERE r.revision_id OPERATOR(pg_catalog.=) $1 AND l.model_id OPERATOR(pg_catalog.=) $2 "
      "AND GREATEST(l.layer_idx, -1) OPERATOR(pg_catalog.=) $3 AND s.operation OPERATOR(pg_catalog.=) 'quantize'",
      "compression_steps",
      {{INT4OID, Int32GetDatum(run.revision)}, {INT4OID, Int32GetDatum(run.model)}, {INT4OID, Int32GetDatum(block)}});
  std::map<std::string, planned_tensor> planned;
  for (std::uint64_t i = 0; i < found.rows(); ++i) {
    const tensor_operation operation = read_operation("quantize", found.value(i, 3, JSONBOID));
    if (!operation.sequential) continue;
    planned_tensor& tensor = planned[found.text(i, 2)];
    tensor.layer = found.bigint(i, 1);
    tensor.f = find_format(operation.format->data(), operation.format->size())->id;
    tensor.options.sweeps = static_cast<unsigned>(operation.sweeps);
    if (!operation.two_sided) continue;
    tensor.gradients =
        find_calibrated(run.model, operation.calibration_revision, *operation.calibration_set, found.text(i, 2));
    tensor.damping = operation.damping;
  }
  return planned;
}

block_rounder::block_rounder(const rewritten_partition& run, model_tensors& tensors,
                             std::map<std::string, planned_tensor> planned)
    : run_(run),
      tensors_(tensors),
      planned_(std::move(planned)),
      pool_(static_cast<unsigned>(current_settings.threads)) {}

void block_rounder::round(const std::string& tensor, row_range rows, const input_hessian& hessian,
                          std::vector<float>& weights) {
  const planned_tensor& planned = planned_.at(tensor);
  rounded& to = open(tensor);
  const std::uint64_t of_row = bytes_of(planned.f, hessian.columns());
  const std::uint32_t block = traits_of(planned.f).block_weights;
  hessian_options options = planned.options;
  options.first_row = rows.first;
  if (!to.missing.empty()) {
    options.missing =
        span<const std::uint8_t>(to.missing).subspan(rows.first * hessian.columns() / block, weights.size() / block);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      if (options.missing[i / block] != 0) weights[i] = 0.0f;
    }
  }
  std::byte* const blocks = to.blocks.data() + rows.first * of_row;
  try {
    if (planned.gradients) {
      const std::unique_ptr<const input_hessian> outputs =
          output_hessian(*planned.gradients, rows.count, planned.damping,
                         two_sided_work_bytes(rows.count, hessian.columns()), pool_, interrupts_);
      quantize_rows_two_sided(planned.f, weights, hessian, *outputs, options, {}, blocks, pool_, interrupts_);
    } else {
      quantize_rows(planned.f, weights, rows.count, hessian, options, blocks, pool_, interrupts_);
    }
  } catch (const error& e) {
    // The step that runs is that of the first tensor of the block.
    if (std::strcmp(e.state(), sqlstate::numeric_value_out_of_range) != 0) throw;
    throw error(e.state(), e.what(), "The weight is one of tensor \"" + tensor + "\".", e.hint(), e.thrown());
  }
  dequantize(planned.f, {blocks, static_cast<std::size_t>(rows.count * of_row)}, weights.size(), weights.data(),
             interrupts_);
  std::fill_n(to.rows_done.begin() + static_cast<std::ptrdiff_t>(rows.first), rows.count, true);
}

std::map<std::int64_t, std::vector<std::byte>> block_rounder::finish() {
  std::map<std::int64_t, std::vector<std::byte>> all;
  for (const auto& [name, planned] : planned_) {
    rounded& to = open(name);
    const atom_layout& layout = tensors_.tensor(name).layout;
    const std::uint64_t of_row = bytes_of(planned.f, layout.row_length);
    for (std::uint64_t row = 0; row < layout.rows; ++row) {
      if (to.rows_done[row]) continue;
      const std::unique_ptr<row_reader> reader = tensors_.open(name, {row, 1});
      quantize(planned.f, {reader->next(1), static_cast<std::size_t>(layout.row_length)}, {},
               to.blocks.data() + row * of_row, interrupts_);
    }
    all[planned.layer] = std::move(to.blocks);
  }
  return all;
}

block_rounder::rounded& block_rounder::open(const std::string& tensor) {
  rounded& to = rounded_[tensor];
  if (!to.rows_done.empty()) return to;
  const planned_tensor& planned = planned_.at(tensor);
  const atom_layout& layout = tensors_.tensor(tensor).layout;
  require_whole_blocks(tensor, layout, planned.f);
  to.rows_done.resize(layout.rows);
  to.blocks.resize(layout.rows * bytes_of(planned.f, layout.row_length));
  to.missing = missing_blocks({run_.source, run_.model, planned.layer, tensor, layout}, {0, layout.rows}, planned.f);
  return to;
}

}  // namespace hartonomous::pg
