// The energy of atoms, from the inputs of their matrices (hartonomous/usage.hpp).
#include "hartonomous/usage.hpp"

#include <algorithm>
#include <cstdint>

namespace hartonomous {
namespace {

// The sum of w^2 * energy, in partial sums that the compiler can keep in vectors.
double weighted_energy(const float* weights, const double* energy, std::size_t count) {
  constexpr std::size_t lanes = 8;
  double partial[lanes] = {};
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    for (std::size_t k = 0; k < lanes; ++k) {
      const auto w = static_cast<double>(weights[i + k]);
      partial[k] += w * w * energy[i + k];
    }
  }
  double sum = 0.0;
  for (; i < count; ++i) sum += static_cast<double>(weights[i]) * static_cast<double>(weights[i]) * energy[i];
  for (double p : partial) sum += p;
  return sum;
}

}  // namespace

usage_meter::tensor_usage& usage_meter::usage_of(const std::string& tensor) {
  const auto found = tensors_.find(tensor);
  if (found != tensors_.end()) return found->second;
  const atom_layout layout = layouts_(tensor);
  return tensors_[tensor] = {layout, std::vector<double>(layout.atoms()), std::vector<std::uint64_t>(layout.atoms())};
}

void usage_meter::input(const std::string&, row_range, const float* x, std::size_t tokens, std::size_t columns) {
  column_energy_.assign(columns, 0.0);
  input_tokens_ = tokens;
  for (std::size_t t = 0; t < tokens; ++t, x += columns) {
    for (std::size_t j = 0; j < columns; ++j) {
      column_energy_[j] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
    }
  }
}

void usage_meter::rows(const std::string& tensor, std::size_t first, std::size_t count, const float* weights,
                       std::size_t columns) {
  tensor_usage& usage = usage_of(tensor);
  for (std::size_t row = first; row < first + count; ++row, weights += columns) {
    for (std::uint64_t atom = usage.layout.first_atom(row); atom < usage.layout.end_atom(row + 1); ++atom) {
      const std::uint64_t column = usage.layout.column_of(atom),
                          length = std::min(usage.layout.length_of(atom), columns);
      usage.energies[atom] += weighted_energy(weights + column, column_energy_.data() + column, length);
      // The rows of an atom have the same input.
      if (row == usage.layout.row_of(atom)) usage.tokens[atom] += input_tokens_;
    }
  }
}

void usage_meter::lookups(const std::string& tensor, std::size_t row, std::size_t tokens, const float* weights,
                          std::size_t columns) {
  tensor_usage& usage = usage_of(tensor);
  const std::vector<double> ones(columns, static_cast<double>(tokens));
  for (std::uint64_t atom = usage.layout.first_atom(row); atom < usage.layout.end_atom(row + 1); ++atom) {
    const std::uint64_t column = usage.layout.column_of(atom), length = std::min(usage.layout.length_of(atom), columns);
    usage.energies[atom] += weighted_energy(weights + column, ones.data(), length);
    usage.tokens[atom] += tokens;
  }
}

}  // namespace hartonomous
