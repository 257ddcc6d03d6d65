// Matrices whose inputs are correlated, as those of a language model are, for tests of hartonomous/hessian.hpp.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "hartonomous/hessian.hpp"

namespace hartonomous {

inline std::vector<float> normal_numbers(std::size_t count, std::uint64_t seed, float deviation) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> numbers(count);
  for (float& one : numbers) one = normal(generator);
  return numbers;
}

// The Gram matrix, row-major, of inputs that a few directions dominate; columns differ in energy, and column 7, if
// there is one, is never active.
inline std::vector<double> correlated_gram(std::size_t columns, std::uint64_t seed) {
  const std::size_t directions = columns / 4 + 1;
  const std::vector<float> mixing = normal_numbers(directions * columns, seed, 1.0f);
  std::mt19937_64 generator(seed + 1);
  std::exponential_distribution<double> skewed(1.0);
  std::vector<double> energy(columns);
  for (double& one : energy) one = skewed(generator);
  std::vector<double> gram(columns * columns, 0.0);
  for (std::size_t i = 0; i < columns; ++i) {
    for (std::size_t j = i; j < columns; ++j) {
      double sum = i == j ? static_cast<double>(directions) / 10.0 : 0.0;
      for (std::size_t k = 0; k < directions; ++k) {
        sum += static_cast<double>(mixing[k * columns + i]) * static_cast<double>(mixing[k * columns + j]);
      }
      if (i == 7 || j == 7) sum = 0.0;
      gram[i * columns + j] = gram[j * columns + i] = sum * energy[i] * energy[j];
    }
  }
  return gram;
}

inline input_hessian hessian_of(const std::vector<double>& gram, std::size_t columns, double damping = 0.01) {
  thread_pool pool;
  no_interrupts none;
  const auto row = [&](std::size_t i, double* out) {
    for (std::size_t j = i; j < columns; ++j) *out++ = gram[i * columns + j];
  };
  return input_hessian(columns, row, damping, pool, none);
}

inline input_hessian correlated_hessian(std::size_t columns, std::uint64_t seed) {
  return hessian_of(correlated_gram(columns, seed), columns);
}

}  // namespace hartonomous
