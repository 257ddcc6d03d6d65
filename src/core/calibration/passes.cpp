// Planning passes (passes.hpp).
#include "calibration/passes.hpp"

#include <algorithm>

namespace hartonomous::calibration_detail {

void refuse_memory(const std::string& what, std::uint64_t needed, std::uint64_t memory, const std::string& instead,
                   source_location thrown) {
  throw error(sqlstate::out_of_memory, what + " needs too much memory",
              "It needs " + std::to_string(needed) + " bytes; the limit is " + std::to_string(memory) + " bytes.",
              "Raise hartonomous.max_work_memory for this session, or " + instead + ".", thrown);
}

std::vector<std::vector<panel_job>> plan_passes(span<const linear_input> inputs, std::uint64_t room,
                                                std::uint64_t memory) {
  std::vector<std::vector<panel_job>> passes(1);
  std::uint64_t bytes = 0;
  std::size_t number = 0;
  for (const linear_input& input : inputs) {
    if (input.tensor != input.shared_with) continue;
    const std::vector<matrix_rows> panels = panels_of(input.columns);
    for (std::uint32_t expert = 0; expert < input.experts; ++expert) {
      for (const matrix_rows& rows : panels) {
        const std::uint64_t added = panel_bytes(input.columns, rows);
        if (added > room) {
          refuse_memory("a Gram matrix of " + std::to_string(input.columns) + " columns", memory - room + added, memory,
                        "collect fewer tokens (max_tokens), or only the diagonal (statistics => 'diagonal')");
        }
        if (bytes + added > room) {
          passes.emplace_back();
          bytes = 0;
        }
        passes.back().push_back({number, expert, rows});
        bytes += added;
      }
    }
    ++number;
  }
  return passes;
}

std::uint64_t room_for_sums(span<const linear_input> inputs, std::uint64_t besides, std::uint64_t memory) {
  for (const linear_input& input : inputs) {
    const std::uint64_t squares = std::uint64_t{input.experts} * input.columns * sizeof(double);
    besides += input.tensor == input.shared_with ? squares : 0;
  }
  std::uint64_t largest = 0;
  for (const linear_input& input : inputs) {
    for (const matrix_rows& rows : panels_of(input.columns)) {
      largest = std::max(largest, triangle_bytes(input.columns, rows));
    }
  }
  return memory - std::min(memory, besides + largest);
}

double sum_multiplications(span<const linear_input> inputs, std::size_t tokens, std::uint32_t experts_used) {
  double products = 0.0;
  for (const linear_input& input : inputs) {
    if (input.tensor != input.shared_with) continue;
    for (const matrix_rows& rows : panels_of(input.columns)) {
      const std::size_t times = input.experts > 1 ? experts_used : input.attended ? 2 : 1;
      products += panel_multiplications(input.columns, rows, tokens * times);
    }
  }
  return products;
}

void for_triangles(transformer& network, const input_meter& meter, span<const panel_job> pass,
                   const std::function<void(const gram_panel&)>& take) {
  std::vector<float> values;
  for (std::size_t i = 0; i < pass.size(); ++i) {
    network.interrupts().check();
    if (!meter.triangle(i, values)) continue;
    take(
        {meter.inputs()[pass[i].input].tensor, pass[i].expert, static_cast<std::uint32_t>(pass[i].rows.first), values});
  }
}

std::uint32_t kept_streams(std::uint32_t blocks, std::uint32_t spacing) noexcept {
  return (blocks + spacing - 1) / spacing + std::min(spacing, blocks) - 1;
}

std::uint32_t recomputed_blocks(std::uint32_t blocks, std::uint32_t spacing, std::uint32_t block) noexcept {
  const bool is_last = block + 1 == blocks || (block + 1) % spacing == 0;
  return is_last ? block % spacing : 0;
}

}  // namespace hartonomous::calibration_detail
