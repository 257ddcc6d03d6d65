// quantize_rows(): checks, batches of rows, the order of the steps, and blocks (hartonomous/hessian.hpp).
//
// Batches go through a panel together, so that a panel of H or C comes from memory once for many of them; no step takes
// more than a few milliseconds.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "codec/checks.hpp"
#include "hartonomous/codec.hpp"
#include "hartonomous/error.hpp"
#include "hartonomous/statistics.hpp"
#include "hessian/batch.hpp"
#include "hessian/run.hpp"

namespace hartonomous {
namespace hessian_detail {

// ---- batches ---------------------------------------------------------------------------------------------------

namespace {

template <class T>
hwy::AlignedFreeUniquePtr<T[]> zeros(std::size_t count) {
  auto memory = hwy::AllocateAligned<T>(count);
  if (!memory) throw std::bad_alloc();
  std::memset(memory.get(), 0, count * sizeof(T));
  return memory;
}

}  // namespace

batch::batch(const grid& with, std::size_t all_columns, std::size_t lanes)
    : columns(all_columns),
      stride(lanes),
      original(zeros<float>(columns * stride)),
      residual(zeros<float>(columns * stride)),
      levels(zeros<std::int8_t>(columns * stride)),
      scales(zeros<float>(columns / static_cast<std::size_t>(with.sub_block) * stride)),
      minima(zeros<float>(columns / static_cast<std::size_t>(with.sub_block) * stride)),
      d(zeros<float>(columns / static_cast<std::size_t>(with.block) * stride)),
      dmin(zeros<float>(columns / static_cast<std::size_t>(with.block) * stride)),
      present(zeros<float>(columns / static_cast<std::size_t>(with.block) * stride)),
      work(zeros<float>(panel_arrays * input_hessian::panel_columns * stride)) {}

std::size_t batch::bytes(std::size_t columns, std::size_t stride) noexcept {
  return stride * (columns * 10 + panel_arrays * input_hessian::panel_columns * sizeof(float));
}

namespace {

// ---- rows in and out -------------------------------------------------------------------------------------------

// Rows that do not exist are zero.
void load_rows(const problem& with, span<const float> weights, span<const std::uint8_t> missing, std::size_t first,
               std::size_t rows, batch& to) {
  const std::size_t count = std::min(to.stride, rows - first), n = to.columns;
  const auto place = [&](std::size_t i, std::size_t of) { return with.reversed ? of - 1 - i : i; };
  constexpr std::size_t tile = 64;
  for (std::size_t from = 0; from < n; from += tile) {
    for (std::size_t lane = 0; lane < to.stride; ++lane) {
      const float* row = lane < count ? weights.data() + (first + lane) * n : nullptr;
      for (std::size_t k = from; k < std::min(n, from + tile); ++k) {
        to.original[k * to.stride + lane] = row != nullptr ? row[place(k, n)] : 0.0f;
      }
    }
  }
  std::memcpy(to.residual.get(), to.original.get(), n * to.stride * sizeof(float));
  const std::size_t blocks = n / static_cast<std::size_t>(with.levels.block);
  for (std::size_t b = 0; b < blocks; ++b) {
    for (std::size_t lane = 0; lane < to.stride; ++lane) {
      const bool is_missing =
          lane < count && !missing.empty() && missing[(first + lane) * blocks + place(b, blocks)] != 0;
      to.present[b * to.stride + lane] = is_missing ? 0.0f : 1.0f;
    }
  }
  to.moved = true;
}

[[noreturn]] void refuse_scale(const grid& g, std::size_t row, std::size_t block) {
  throw error(sqlstate::numeric_value_out_of_range,
              "scale of block " + std::to_string(block + 1) + " of row " + std::to_string(row + 1) +
                  " overflows half precision",
              std::string("The range of the weights is too large for format ") + traits_of(g.id).name + ".");
}

// One row, `number` of the matrix.
void store_row(const problem& with, const batch& from, std::size_t lane, std::size_t number, std::byte* out) {
  const grid& g = with.levels;
  const std::size_t stride = from.stride;
  const auto block = static_cast<std::size_t>(g.block), parts = static_cast<std::size_t>(g.sub_blocks());
  const std::size_t blocks = from.columns / block;
  const auto place = [&](std::size_t i, std::size_t of) { return (with.reversed ? of - 1 - i : i) * stride + lane; };
  for (std::size_t b = 0; b < blocks; ++b, out += g.block_bytes) {
    std::int8_t levels[input_hessian::panel_columns], scales[16] = {}, minima[16] = {};
    const float d = from.d[place(b, blocks)], dmin = from.dmin[place(b, blocks)];
    if (!std::isfinite(d) || !std::isfinite(dmin)) refuse_scale(g, number, b);
    for (std::size_t k = 0; k < block; ++k) levels[k] = from.levels[place(b * block + k, from.columns)];
    for (std::size_t j = 0; j < parts; ++j) {
      scales[j] = static_cast<std::int8_t>(from.scales[place(b * parts + j, blocks * parts)]);
      minima[j] = static_cast<std::int8_t>(from.minima[place(b * parts + j, blocks * parts)]);
    }
    g.pack(levels, scales, minima, d, dmin, out);
  }
}

// (W - Q) H (W - Q)ᵀ, a sum for each row. `values` is as large as the batch.
void add_losses(const kernels& steps, const problem& with, const batch& rows, float* values, double* losses) {
  for (std::size_t p = 0; p < with.hessian.panels(); ++p) steps.reconstruct(with, rows, p, values);
  for (std::size_t lane = 0; lane < rows.stride; ++lane) losses[lane] = 0.0;
  for (std::size_t k = 0; k < rows.columns; ++k) {
    for (std::size_t lane = 0; lane < rows.stride; ++lane) {
      const std::size_t at = k * rows.stride + lane;
      losses[lane] += (static_cast<double>(rows.original[at]) - static_cast<double>(values[at])) *
                      static_cast<double>(rows.residual[at]);
    }
  }
}

// ---- the order of the steps ------------------------------------------------------------------------------------

// Bytes of the batches that are under way together.
constexpr std::size_t wave_bytes = std::size_t{1} << 26;

std::size_t wave_length(std::size_t columns, std::size_t stride, std::size_t rows) {
  const std::size_t fitting = std::max<std::size_t>(wave_bytes / batch::bytes(columns, stride), 1);
  return std::min(fitting, (rows + stride - 1) / stride);
}

// What quantizing gives, and what it is of.
struct rows_result {
  span<const float> weights;
  std::size_t rows;
  std::byte* out;
  float* reconstruction;       // or nullptr
  std::vector<double> losses;  // one for each row
};

// Stores the rows of a batch; in reverse order only those that have become better.
void store_rows(const kernels& steps, const problem& with, const batch& from, std::size_t first,
                std::size_t first_of_all, rows_result& result) {
  const std::size_t columns = from.columns, stride = from.stride;
  const std::size_t bytes = columns / static_cast<std::size_t>(with.levels.block) * with.levels.block_bytes;
  auto values = zeros<float>(columns * stride);
  std::vector<double> losses(stride);
  add_losses(steps, with, from, values.get(), losses.data());
  for (std::size_t lane = 0; lane < std::min(stride, result.rows - first); ++lane) {
    const std::size_t row = first + lane;
    if (with.reversed && !(losses[lane] < result.losses[row])) continue;
    result.losses[row] = losses[lane];
    store_row(with, from, lane, first_of_all + row, result.out + row * bytes);
    if (result.reconstruction == nullptr) continue;
    for (std::size_t k = 0; k < columns; ++k) {
      result.reconstruction[row * columns + k] = values[(with.reversed ? columns - 1 - k : k) * stride + lane];
    }
  }
}

void run_in_one_order(const kernels& steps, const problem& with, const hessian_options& options, rows_result& result,
                      thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t rows = result.rows;
  const std::size_t columns = with.hessian.columns(), panels = with.hessian.panels(), stride = steps.stride;
  const std::size_t most = wave_length(columns, stride, rows);
  std::vector<batch> wave;
  for (std::size_t b = 0; b < most; ++b) {
    interrupts.check();
    wave.emplace_back(with.levels, columns, stride);
  }
  for (std::size_t first = 0; first < rows; first += most * stride) {
    const std::size_t count = std::min(most, (rows - first + stride - 1) / stride);
    const auto all = [&](auto step) {
      pool.run(count, interrupts, [&](std::size_t b) { step(wave[b], first + b * stride); });
    };
    const auto each_panel = [&](auto step) {
      for (std::size_t p = 0; p < panels; ++p) all([&](batch& rows_of, std::size_t) { step(with, rows_of, p); });
    };
    all([&](batch& to, std::size_t row) { load_rows(with, result.weights, options.missing, row, rows, to); });
    each_panel(steps.feed_back);
    all([&](batch& of, std::size_t) { std::memset(of.residual.get(), 0, columns * stride * sizeof(float)); });
    each_panel(steps.add_residual);
    for (unsigned sweep = 0; sweep < options.sweeps; ++sweep) {
      std::vector<char> active(count);
      for (std::size_t b = 0; b < count; ++b) active[b] = wave[b].moved ? 1 : 0;
      for (batch& one : wave) one.moved = false;
      for (std::size_t p = 0; p < panels; ++p) {
        pool.run(count, interrupts, [&](std::size_t b) {
          if (active[b] != 0) steps.improve(with, wave[b], p);
        });
      }
    }
    all([&](batch& of, std::size_t row) { store_rows(steps, with, of, row, options.first_row, result); });
  }
}

}  // namespace

double run(const kernels& steps, const grid& levels, const input_hessian& hessian, span<const float> weights,
           std::size_t rows, const hessian_options& options, std::byte* out, float* reconstruction, thread_pool& pool,
           interrupt_checker& interrupts) {
  rows_result result = {weights, rows, out, nullptr, std::vector<double>(rows)};
  result.reconstruction = reconstruction;
  for (const input_hessian* h : {&hessian, hessian.reversed()}) {
    if (h == nullptr) break;
    const auto part = static_cast<std::size_t>(levels.sub_block);
    const problem with = {levels, *h, h->factors_of_blocks(part, interrupts), h != &hessian};
    run_in_one_order(steps, with, options, result, pool, interrupts);
  }
  double total = 0.0;
  for (const double loss : result.losses) total += loss;
  return total;
}

}  // namespace hessian_detail

namespace {

using namespace hessian_detail;

// ---- checks ----------------------------------------------------------------------------------------------------

void check_shape(format f, span<const float> weights, std::size_t rows, std::size_t columns) {
  const format_traits& traits = traits_of(f);
  if (!traits.writable) {
    throw error(sqlstate::feature_not_supported, std::string("cannot quantize to format ") + traits.name,
                "Blocks of this format are stored and exported as they are.");
  }
  if (columns % traits.block_weights != 0) {
    throw error(sqlstate::invalid_parameter_value,
                "rows of " + std::to_string(columns) + " weights are not whole blocks of format " + traits.name,
                "Its blocks have " + std::to_string(traits.block_weights) + " weights.");
  }
  if (weights.size() != rows * columns) {
    throw error(sqlstate::invalid_parameter_value, "number of weights is not rows times columns",
                "There are " + std::to_string(weights.size()) + " weights for " + std::to_string(rows) + " rows of " +
                    std::to_string(columns) + ".");
  }
}

// Refuses what quantize() refuses.
void check_weights(format f, span<const float> weights, std::size_t columns, std::size_t first_row,
                   interrupt_checker& interrupts) {
  const codecs::magnitude_range refused = {half_detail::bits_of(3e8f), 0x7FFFFFFF};
  constexpr std::size_t chunk = std::size_t{1} << 18;
  for (std::size_t at = 0; at < weights.size(); at += chunk) {
    interrupts.check();
    const std::size_t end = std::min(weights.size(), at + chunk);
    if (!codecs::any_in_range(refused, weights.data() + at, end - at)) continue;
    for (std::size_t i = at; i < end; ++i) {
      if (!refused.contains(weights[i])) continue;
      const char* what = std::isnan(weights[i]) ? " is NaN" : std::isinf(weights[i]) ? " is infinite" : " is too large";
      throw error(sqlstate::numeric_value_out_of_range, "weight in row " + std::to_string(first_row + i / columns + 1) +
                                                            ", column " + std::to_string(i % columns + 1) + what +
                                                            " for format " + traits_of(f).name);
    }
  }
}

// The diagonal of H: how much an error in each column matters by itself.
std::vector<float> diagonal_of(const input_hessian& hessian) {
  std::vector<float> diagonal(hessian.columns());
  for (std::size_t k = 0; k < diagonal.size(); ++k) {
    const std::size_t panel = k / input_hessian::panel_columns, width = hessian.panel_width(panel);
    diagonal[k] = hessian.hessian_panel(panel)[k * width + k % input_hessian::panel_columns];
  }
  return diagonal;
}

// Formats without a choice, each weight to its nearest level, and those that are not described as a grid.
double round_rows(format f, span<const float> weights, std::size_t rows, const input_hessian& hessian, std::byte* out,
                  thread_pool& pool, interrupt_checker& interrupts) {
  const std::size_t columns = hessian.columns();
  const auto bytes = static_cast<std::size_t>(bytes_of(f, columns));
  const std::vector<float> importance = diagonal_of(hessian);
  std::vector<float> differences(weights.size());
  for (std::size_t row = 0; row < rows; ++row) {
    quantize(f, weights.subspan(row * columns, columns), importance, out + row * bytes, interrupts);
    float* difference = &differences[row * columns];
    dequantize(f, {out + row * bytes, bytes}, columns, difference, interrupts);
    for (std::size_t k = 0; k < columns; ++k) difference[k] = weights[row * columns + k] - difference[k];
  }
  return hessian_energy(differences, rows, hessian, pool, interrupts);
}

}  // namespace

double quantize_rows(format f, span<const float> weights, std::size_t rows, const input_hessian& hessian,
                     const hessian_options& options, std::byte* out, thread_pool& pool, interrupt_checker& interrupts) {
  check_shape(f, weights, rows, hessian.columns());
  const grid* levels = find_grid(f);
  if (levels == nullptr) return round_rows(f, weights, rows, hessian, out, pool, interrupts);
  check_weights(f, weights, hessian.columns(), options.first_row, interrupts);
  const std::size_t blocks = weights.size() / static_cast<std::size_t>(levels->block);
  if (!options.missing.empty() && options.missing.size() != blocks) {
    throw error(sqlstate::invalid_parameter_value, "number of blocks that may be missing is wrong",
                "There are " + std::to_string(blocks) + " blocks, not " + std::to_string(options.missing.size()) + ".");
  }
  return run(best_kernels(), *levels, hessian, weights, rows, options, out, nullptr, pool, interrupts);
}

std::uint64_t quantize_rows_work_bytes(std::size_t rows, std::size_t columns) noexcept {
  const std::size_t stride = best_kernels().stride;
  // A batch for every row and a sum for each; blocks of H factored; values while the losses are summed.
  return wave_length(columns, stride, rows) * batch::bytes(columns, stride) + rows * sizeof(double) +
         columns * 33 * sizeof(float) + 16 * columns * stride * sizeof(float);
}

double hessian_energy(span<const float> matrix, std::size_t rows, const input_hessian& hessian, thread_pool& pool,
                      interrupt_checker& interrupts) {
  const std::size_t columns = hessian.columns(), panels = hessian.panels();
  std::vector<double> sums(rows);
  pool.run(rows, interrupts, [&](std::size_t row) {
    const float* m = matrix.data() + row * columns;
    std::vector<double> product(input_hessian::panel_columns);
    for (std::size_t p = 0; p < panels; ++p) {
      const std::size_t width = hessian.panel_width(p);
      std::fill(product.begin(), product.end(), 0.0);
      const float* h = hessian.hessian_panel(p);
      for (std::size_t j = 0; j < columns; ++j, h += width) {
        for (std::size_t i = 0; i < width; ++i) {
          product[i] += static_cast<double>(m[j]) * static_cast<double>(h[i]);
        }
      }
      for (std::size_t i = 0; i < width; ++i) {
        sums[row] += product[i] * static_cast<double>(m[p * input_hessian::panel_columns + i]);
      }
    }
  });
  double total = 0.0;
  for (const double sum : sums) total += sum;
  return total;
}

}  // namespace hartonomous
