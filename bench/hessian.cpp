// What quantizing against a Hessian costs on one core, and what it gains over rounding by importance, for
// bench/hessian.sh.
//
//   hessian [ROWS [WIDTH...]]     default 512 rows, widths 512 and 4096
//
// Weights are normal numbers; the inputs of a layer are made up: neighboring columns are correlated, a few directions
// dominate, and columns differ in energy. Times are processor time of one thread, so that other load matters little.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>
#include <vector>

#include "hartonomous/codec.hpp"
#include "hartonomous/hessian.hpp"
#include "hartonomous/simd.hpp"

namespace {

using namespace hartonomous;

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

// Row by row, from formulas: no matrix is kept.
class made_up_gram {
 public:
  explicit made_up_gram(std::size_t columns) : directions_(count * columns), energy_(columns) {
    std::mt19937_64 generator(3);
    std::normal_distribution<double> normal;
    for (double& one : directions_) one = normal(generator);
    for (double& one : energy_) one = std::exp(0.7 * normal(generator));
  }

  void row(std::size_t i, double* out) const {
    const std::size_t n = energy_.size();
    double near = 1.0;  // powers of the correlation of neighbors
    for (std::size_t j = i; j < n; ++j, near *= 0.8) {
      double sum = near;
      for (std::size_t k = 0; k < count; ++k) sum += 0.2 * directions_[k * n + i] * directions_[k * n + j];
      *out++ = sum * energy_[i] * energy_[j];
    }
  }

 private:
  static constexpr std::size_t count = 8;
  std::vector<double> directions_, energy_;
};

struct cost {
  double orders = 1.0;           // of the columns, each of which is a factor and a pass
  double hessian = 0.0;          // seconds for H and its factors
  double seconds_a_million = 0;  // of weights, the slowest format
};

double seconds_to_quantize(format f, const std::vector<float>& weights, std::size_t rows, const input_hessian& h,
                           unsigned sweeps, double* loss) {
  thread_pool one;
  no_interrupts none;
  std::vector<std::byte> out(rows * bytes_of(f, h.columns()));
  const double start = processor_seconds();
  *loss = quantize_rows(f, weights, rows, h, {sweeps, {}, 0}, out.data(), one, none);
  return (processor_seconds() - start) / static_cast<double>(weights.size()) * 1e6;
}

double loss_by_importance(format f, const std::vector<float>& weights, std::size_t rows, const input_hessian& h,
                          const std::vector<float>& importance) {
  thread_pool one;
  no_interrupts none;
  const std::size_t columns = h.columns();
  std::vector<float> differences(weights.size());
  std::vector<std::byte> blocks(bytes_of(f, columns));
  for (std::size_t row = 0; row < rows; ++row) {
    float* difference = &differences[row * columns];
    quantize(f, span<const float>(&weights[row * columns], columns), importance, blocks.data(), none);
    dequantize(f, blocks, columns, difference, none);
    for (std::size_t k = 0; k < columns; ++k) difference[k] -= weights[row * columns + k];
  }
  return hessian_energy(differences, rows, h, one, none);
}

cost measure(std::size_t rows, std::size_t columns) {
  thread_pool one;
  no_interrupts none;
  const made_up_gram gram(columns);
  std::vector<float> importance(columns);
  cost result;
  double start = processor_seconds();
  const input_hessian h(
      columns,
      [&](std::size_t i, double* out) {
        gram.row(i, out);
        importance[i] = static_cast<float>(out[0]);
      },
      0.01, one, none);
  result.hessian = processor_seconds() - start;
  result.orders = h.reversed() != nullptr ? 2.0 : 1.0;
  std::mt19937_64 generator(5);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> weights(rows * columns);
  for (float& weight : weights) weight = normal(generator);

  const unsigned sweeps = hessian_options().sweeps;
  const auto n = static_cast<double>(columns), p = static_cast<double>(input_hessian::panel_columns);
  std::printf("\nwidth %zu, %zu rows: H and its factor %.2f s; up to %.2f billion multiply-adds a million weights\n",
              columns, rows, result.hessian, result.orders * (n / 2 + n + sweeps * (n + 3 * p)) / 1e3);
  std::printf("%-8s%30s%30s%26s\n", "format", "s a million weights", "first pass alone", "loss, of importance's");
  for (const format f : readable_formats()) {
    if (traits_of(f).block_weights == 1 || columns % traits_of(f).block_weights != 0) continue;
    double loss = 0.0, first_loss = 0.0;
    const double seconds = seconds_to_quantize(f, weights, rows, h, sweeps, &loss);
    const double first = seconds_to_quantize(f, weights, rows, h, 0, &first_loss);
    const double plain = loss_by_importance(f, weights, rows, h, importance);
    std::printf("%-8s%30.2f%30.2f%20.2f (%.2f)\n", traits_of(f).name, seconds, first, loss / plain, first_loss / plain);
    result.seconds_a_million = std::max(result.seconds_a_million, seconds);
  }
  return result;
}

// A llama of 8 billion weights: 32 blocks of width 4096 and feed-forward width 14336, 128256 tokens. From the measured
// widths, time a weight is taken to grow in proportion to the width, and that of H to its third power; rows as long as
// its own have one order.
void estimate(std::size_t width, const cost& measured) {
  const double million = 1e-6, blocks = 32, vocabulary = 128256;
  const double narrow = (blocks * (2.0 * 4096 + 2.0 * 1024 + 2.0 * 14336) + 2.0 * vocabulary) * 4096 * million;
  const double wide = blocks * 4096.0 * 14336 * million;
  const auto from = static_cast<double>(width);
  const double rounding =
      measured.seconds_a_million / measured.orders * (narrow * (4096 / from) + wide * (14336 / from));
  const double factors = measured.hessian / measured.orders *
                         ((blocks * 3 + 1) * std::pow(4096 / from, 3) + blocks * std::pow(14336 / from, 3));
  std::printf(
      "\nA llama of 8 billion weights, from width %zu: %.1f core hours (of them %.1f for Hessians); %.1f h on 2 cores, "
      "%.1f h on 16.\n",
      width, (rounding + factors) / 3600, factors / 3600, (rounding + factors) / 2 / 3600,
      (rounding + factors) / 16 / 3600);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t rows = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 512;
  std::vector<std::size_t> widths;
  for (int i = 2; i < argc; ++i) widths.push_back(std::strtoull(argv[i], nullptr, 10));
  if (widths.empty()) widths = {512, 4096};
  if (rows == 0 || std::any_of(widths.begin(), widths.end(), [](std::size_t w) { return w == 0 || w % 32 != 0; })) {
    std::fprintf(stderr, "usage: hessian [ROWS [WIDTH...]], widths being multiples of 32\n");
    return 2;
  }
  std::printf("One core, %s; %u sweeps.\n", simd_target(), hessian_options().sweeps);
  cost last;
  for (const std::size_t width : widths) last = measure(rows, width);
  estimate(widths.back(), last);
}
