// Matrix products with weights that are read a panel at a time, and norms (compute_context.hpp).
#include "network/compute_context.hpp"

#include "linear_algebra/sgemm.hpp"
#include "network/architecture.hpp"
#include "network/vectors.hpp"

#include <algorithm>

namespace hartonomous::network_detail {

// Panels of up to 4 MB: larger ones are no faster, and there is a check for interrupts after each.
std::size_t compute_context::panel_rows(std::uint64_t columns) const noexcept {
  constexpr std::uint64_t most = std::uint64_t{4} << 20;
  return std::max<std::uint64_t>(1, std::min(most, panel_bytes_) / (columns * sizeof(float)));
}

std::vector<float> compute_context::vector_of(const std::string& tensor) {
  const std::size_t columns = source_.find(tensor)->columns;
  const auto reader = source_.open(tensor, {0, 1});
  const float* values = reader->next(1);
  return {values, values + columns};
}

// Each range is well below a millisecond of work.
void compute_context::for_runs(std::size_t count, std::size_t floats_each,
                               const std::function<void(std::size_t, std::size_t)>& task) {
  constexpr std::size_t floats = 1 << 16;
  const std::size_t run = std::max<std::size_t>(1, floats / std::max<std::size_t>(1, floats_each));
  threads_.run((count + run - 1) / run, interrupts_,
               [&](std::size_t i) { task(i * run, std::min(count, (i + 1) * run)); });
}

// Divided into products of a few milliseconds, with as many tokens as that allows, because each one packs the weights
// again. The division does not depend on the number of threads, so the sums do not, either.
void compute_context::multiply_panel(const float* x, std::size_t tokens, std::size_t columns, const float* panel,
                                     std::size_t rows, float* y, std::size_t stride) {
  constexpr std::size_t row_run = 256, multiplications = std::size_t{1} << 27;
  const std::size_t token_run = std::clamp<std::size_t>(multiplications / (row_run * columns), 64, 512);
  const std::size_t token_runs = (tokens + token_run - 1) / token_run, row_runs = (rows + row_run - 1) / row_run;
  threads_.run(token_runs * row_runs, interrupts_, [&](std::size_t task) {
    const std::size_t t = task / row_runs * token_run, r = task % row_runs * row_run;
    multiply_transposed({x + t * columns, std::min(token_run, tokens - t), columns, columns},
                        {panel + r * columns, std::min(row_run, rows - r), columns, columns}, 1.0f, y + t * stride + r,
                        stride);
  });
  if (watcher_) watcher_(static_cast<double>(tokens) * static_cast<double>(rows) * static_cast<double>(columns));
}

void compute_context::linear(const std::string& name, const float* x, std::size_t tokens, std::size_t columns, float* y,
                             std::size_t rows) {
  multiply_rows(name + ".weight", {0, rows}, x, tokens, columns, y);
  if (source_.find(name + ".bias")) add_bias(name + ".bias", 0, y, tokens, rows);
}

void compute_context::multiply_rows(const std::string& matrix, row_range rows, const float* x, std::size_t tokens,
                                    std::size_t columns, float* y) {
  if (observer_ != nullptr) observer_->input(matrix, rows, x, tokens, columns);
  const auto reader = source_.open(matrix, rows);
  const std::size_t panel = panel_rows(columns);
  for (std::size_t first = 0; first < rows.count; first += panel) {
    const std::size_t count = std::min<std::size_t>(panel, rows.count - first);
    const float* weights = reader->next(count);
    if (observer_ != nullptr) observer_->rows(matrix, rows.first + first, count, weights, columns);
    multiply_panel(x, tokens, columns, weights, count, y + first, rows.count);
  }
}

namespace {
// Rows whose products are summed at a time.
constexpr std::size_t summed_rows = 64;
}  // namespace

std::size_t compute_context::transposed_panel_rows(std::uint64_t columns) const noexcept {
  return std::max<std::size_t>(panel_rows(columns) / summed_rows, 1) * summed_rows;
}

void compute_context::add_transposed_product(const std::string& matrix, const float* y, std::size_t tokens,
                                             std::size_t rows, float* x, std::size_t columns) {
  const auto reader = source_.open(matrix, {0, rows});
  const std::size_t panel = transposed_panel_rows(columns);
  for (std::size_t first = 0; first < rows; first += panel) {
    const std::size_t count = std::min(panel, rows - first);
    add_transposed_panel(y + first, rows, tokens, reader->next(count), count, columns, x);
  }
}

void compute_context::add_transposed_panel(const float* y, std::size_t stride, std::size_t tokens, const float* panel,
                                           std::size_t rows, std::size_t columns, float* x) {
  constexpr std::size_t token_run = 128, column_run = 256;
  const std::size_t column_runs = (columns + column_run - 1) / column_run;
  threads_.run((tokens + token_run - 1) / token_run * column_runs, interrupts_, [&](std::size_t task) {
    const std::size_t t = task / column_runs * token_run, c = task % column_runs * column_run;
    const std::size_t height = std::min(token_run, tokens - t), width = std::min(column_run, columns - c);
    for (std::size_t r = 0; r < rows; r += summed_rows) {
      const std::size_t count = std::min(summed_rows, rows - r);
      add_product({y + t * stride + r, height, count, stride}, {panel + r * columns + c, count, width, columns},
                  x + t * columns + c, columns);
    }
  });
  if (watcher_) watcher_(static_cast<double>(tokens) * static_cast<double>(rows) * static_cast<double>(columns));
}

void compute_context::add_bias(const std::string& tensor, std::uint64_t row, float* y, std::size_t tokens,
                               std::size_t columns) {
  const auto reader = source_.open(tensor, {row, 1});
  const float* const values = reader->next(1);
  const std::vector<float> bias(values, values + columns);
  for_runs(tokens, columns, [&](std::size_t from, std::size_t to) {
    for (std::size_t t = from; t < to; ++t) add(y + t * columns, bias.data(), columns);
  });
}

void compute_context::normalize(const std::string& name, const hyperparameters& config, const float* x,
                                std::size_t rows, float* out) {
  const std::size_t columns = config.width;
  if (config.architecture->parts.norm == norm_kind::root_mean_square) {
    return normalize_rows(name + ".weight", config.epsilon, x, rows, columns, out);
  }
  const std::vector<float> scale = vector_of(name + ".weight"), bias = vector_of(name + ".bias");
  for_runs(rows, columns, [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      layer_norm(x + i * columns, scale.data(), bias.data(), config.epsilon, out + i * columns, columns);
    }
  });
}

void compute_context::normalize_rows(const std::string& weight, float epsilon, const float* x, std::size_t rows,
                                     std::size_t columns, float* out) {
  const std::vector<float> scale = vector_of(weight);
  for_runs(rows, columns, [&](std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      rms_norm(x + i * columns, scale.data(), epsilon, out + i * columns, columns);
    }
  });
}

}  // namespace hartonomous::network_detail
