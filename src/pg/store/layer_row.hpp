// The values of a row of model_layers, checked before anything is computed from them.
#pragma once

#include "pg/base/spi.hpp"

#include <cstdint>
#include <string>

#include "hartonomous/space.hpp"

namespace hartonomous::pg {

// The limit on the number of weights of a tensor, so that no size computed from it overflows 64 bits.
inline constexpr std::int64_t most_weights = INT64_MAX / 65536;

// How a tensor of `weights` weights is divided into atoms, according to its columns row_length and atom_size. Errors:
// those of query_result, 54000 if it would have more atoms than atom_sequence can number.
atom_layout layout_of_row(const query_result& layers, std::uint64_t row, int row_length, int atom_size,
                          std::uint64_t weights, const std::string& tensor);

}  // namespace hartonomous::pg
