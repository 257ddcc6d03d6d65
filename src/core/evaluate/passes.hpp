// Windows that are run together, and the rows of logits that are needed of them (inside src/core/evaluate only).
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
  std::vector<token_id> targets;  // the scored tokens
};

// Divides windows into passes, so that running `networks` networks at a time takes at most `memory` bytes. Error 53200
// if a single window needs more.
std::vector<pass> plan_passes(const transformer& network, span<const score_window> windows, std::uint64_t memory,
                              unsigned networks);

// The number of logit columns that are computed at a time for that many rows.
std::size_t logit_columns(std::size_t rows);

// Calls task(row) for every row, on all threads.
void for_rows(transformer& network, std::size_t rows, const std::function<void(std::size_t)>& task);

}  // namespace hartonomous::evaluate_detail
