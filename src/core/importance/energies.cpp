// Energies of atoms (hartonomous/importance.hpp).
#include <algorithm>
#include <cstddef>

#include "hartonomous/importance.hpp"

namespace hartonomous {

std::vector<double> column_energies(span<const float> sums_of_squares) {
  double sum = 0.0;
  for (const float s : sums_of_squares) sum += double{s};
  const double least = sum > 0.0 ? 1e-6 * sum / static_cast<double>(sums_of_squares.size()) : 1.0;
  std::vector<double> energies;
  energies.reserve(sums_of_squares.size());
  for (const float s : sums_of_squares) energies.push_back(std::max(double{s}, least));
  return energies;
}

void add_atom_energies(const atom_layout& layout, span<const float> row, const double* columns, double* out) {
  std::size_t column = 0;
  for (std::uint64_t atom = 0; atom < layout.atoms_per_row(); ++atom) {
    double sum = 0.0;
    for (const std::size_t end = column + layout.length_in_row(atom); column < end; ++column) {
      const double weight = double{row[column]};
      sum += weight * weight * columns[column];
    }
    out[atom] += sum;
  }
}

}  // namespace hartonomous
