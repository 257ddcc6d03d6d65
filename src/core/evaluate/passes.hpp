// Windows that are run together, and what is kept of the logits row by row (inside src/core/evaluate only).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "hartonomous/evaluate.hpp"

namespace hartonomous::evaluate_detail {

// The windows of one pass through a model.
struct pass {
  std::size_t first = 0, count = 0;  // windows
  std::vector<token_sequence> sequences;
  std::vector<std::size_t> rows;  // states that predict a scored token
  std::vector<token_id> targets;  // and that token
};

// Cuts windows into passes that hold `memory` bytes at most with `networks` run at a time; error 53200 when a single
// window needs more.
std::vector<pass> plan_passes(const transformer& network, span<const score_window> windows, std::uint64_t memory,
                              unsigned networks);

// Columns of logits that are computed at a time for so many rows.
std::size_t logit_columns(std::size_t rows);

// Calls task(row) for every row, on all threads.
void for_rows(transformer& network, std::size_t rows, const std::function<void(std::size_t)>& task);

}  // namespace hartonomous::evaluate_detail
