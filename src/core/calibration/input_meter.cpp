// Summing inputs on the thread pool (input_meter.hpp). Work is divided by its size alone, and every sum is in the order
// of the tokens.
#include "calibration/input_meter.hpp"

#include "hartonomous/error.hpp"
#include "network/activations.hpp"

#include <algorithm>
#include <cmath>

namespace hartonomous::calibration_detail {

input_meter::input_meter(transformer& network, span<const linear_input> inputs,
                         const std::function<void(double)>& watcher, const char* what)
    : network_(network), watcher_(watcher), what_(what) {
  for (const linear_input& i : inputs) {
    if (i.tensor != i.shared_with) {
      shared_[i.tensor] = i.shared_with;
      continue;
    }
    numbers_[i.tensor] = inputs_.size();
    inputs_.push_back(i);
    sums_.push_back(
        {i.tensor, std::vector<std::uint64_t>(i.experts), std::vector<double>(std::size_t{i.experts} * i.columns), {}});
  }
}

void input_meter::begin_pass(span<const panel_job> jobs) {
  panels_.clear();
  panels_.reserve(jobs.size());
  for (const panel_job& job : jobs)
    panels_.push_back({job, panel_sums(inputs_[job.input].columns, job.rows, network_.interrupts())});
  attends_ = std::any_of(jobs.begin(), jobs.end(), [&](const panel_job& job) { return inputs_[job.input].weighted(); });
  counting_ = !counted_;
}

void input_meter::end_pass() {
  if (counting_) {
    for (const input_sums& s : sums_) {
      // Stored as floats.
      const bool finite = std::all_of(s.squares.begin(), s.squares.end(),
                                      [](double square) { return std::isfinite(static_cast<float>(square)); }) &&
                          std::all_of(s.router_weighted_norms.begin(), s.router_weighted_norms.end(),
                                      [](double norm) { return std::isfinite(norm); });
      if (!finite) network_detail::refuse_activations(what_, s.tensor);
    }
  }
  counted_ = true;
}

bool input_meter::triangle(std::size_t job, std::vector<float>& out) const {
  const running_panel& panel = panels_[job];
  const input_sums& sums = sums_[panel.job.input];
  if (sums.token_counts[panel.job.expert] == 0) return false;
  const std::size_t columns = inputs_[panel.job.input].columns;
  std::vector<double> diagonal;
  if (inputs_[panel.job.input].weighted()) {
    // Of keys a difference of sums, which may be a little less than nothing.
    const matrix_rows rows = panel.job.rows;
    diagonal.resize(columns);
    for (std::size_t row = rows.first; row < rows.first + rows.count; ++row) {
      diagonal[row] = std::max(0.0, panel.sums.row(row)[0]);
    }
  }
  const double* const squares = diagonal.empty() ? sums.squares.data() + panel.job.expert * columns : diagonal.data();
  write_triangle(panel.sums, panel.job.rows, {squares, columns}, out);
  if (!std::all_of(out.begin(), out.end(), [](float g) { return std::isfinite(g); }))
    network_detail::refuse_activations(what_, sums.tensor);
  return true;
}

void input_meter::input(const std::string& tensor, row_range rows, const float* x, std::size_t tokens,
                        std::size_t columns) {
  if (shared_.count(tensor) > 0) {
    if (x != last_) throw error(sqlstate::internal_error, "tensor \"" + tensor + "\" has an input of its own");
    return;
  }
  last_ = x;
  const std::size_t number = numbers_.at(tensor);
  const auto expert = inputs_[number].experts == 1 ? 0U : static_cast<std::uint32_t>(rows.first / rows.count);
  if (counting_) {
    sums_[number].token_counts[expert] += tokens;
    add_squares(sums_[number], expert, x, tokens, columns);
  }
  if (!inputs_[number].weighted()) add_products(number, expert, x, x, tokens, columns);
}

// p (x - m)(x - m)ᵀ, summed over what a token attends to, is the sum of p x xᵀ less m mᵀ.
void input_meter::attended(const std::string& keys, const float* x, span<const float> weights, const float* means,
                           std::size_t tokens, std::size_t columns) {
  weighted(keys, x, weights, tokens, columns);
  std::transform(means, means + tokens * columns, weighted_.begin(), [](float m) { return -m; });
  add_products(numbers_.at(keys), 0, weighted_.data(), means, tokens, columns);
}

void input_meter::weighted(const std::string& tensor, const float* x, span<const float> weights, std::size_t tokens,
                           std::size_t columns) {
  weighted_.resize(tokens * columns);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t j = t * columns; j < (t + 1) * columns; ++j) weighted_[j] = (weights[t] + attended_share) * x[j];
  }
  add_products(numbers_.at(tensor), 0, weighted_.data(), x, tokens, columns);
}

void input_meter::routed(const std::string& tensor, std::uint32_t expert, const float* y, span<const float> weights,
                         std::size_t width) {
  if (!counting_) return;
  input_sums& sums = sums_[numbers_.at(tensor)];
  sums.router_weighted_norms.resize(sums.token_counts.size());
  for (std::size_t t = 0; t < weights.size(); ++t) {
    double square = 0.0;
    for (std::size_t j = t * width; j < (t + 1) * width; ++j) square += double{y[j]} * y[j];
    const double weight = weights[t];
    sums.router_weighted_norms[expert] += weight * std::sqrt(square);
  }
}

void input_meter::add_squares(input_sums& to, std::uint32_t expert, const float* x, std::size_t tokens,
                              std::size_t columns) {
  constexpr std::size_t run = 64;
  network_.threads().run((columns + run - 1) / run, network_.interrupts(), [&](std::size_t task) {
    const std::size_t first = task * run, count = std::min(run, columns - first);
    double* const sums = to.squares.data() + expert * columns + first;
    for (std::size_t t = 0; t < tokens; ++t) {
      const float* const row = x + t * columns + first;
      for (std::size_t j = 0; j < count; ++j) sums[j] += static_cast<double>(row[j]) * static_cast<double>(row[j]);
    }
  });
}

void input_meter::add_products(std::size_t input, std::uint32_t expert, const float* left, const float* right,
                               std::size_t tokens, std::size_t columns) {
  for (running_panel& panel : panels_) {
    if (panel.job.input != input || panel.job.expert != expert) continue;
    network_.threads().run(panel.sums.tiles(), network_.interrupts(),
                           [&](std::size_t tile) { panel.sums.add(tile, left, columns, right, tokens); });
    if (watcher_) watcher_(panel_multiplications(columns, panel.job.rows, tokens));
  }
}

}  // namespace hartonomous::calibration_detail
