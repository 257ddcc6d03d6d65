// What the scalar and the vector code of IQ4_NL share: the values of its levels.
#pragma once

#include <cstdint>

namespace hartonomous::codecs {

// They are closer together where weights are frequent.
inline constexpr std::int8_t uneven_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                  1,    13,   25,  38,  53,  69,  89,  113};

// From the midpoint of two values on, the upper one is the nearest. This is exact: the reference compares the distances
// to both values, and near the midpoint neither difference is rounded.
inline constexpr float uneven_middles[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                             7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};

// Number of scales tried on either side of the one that maps the weight of largest magnitude to the lowest value.
inline constexpr int uneven_trials = 7;

// Times the sum of the squares of a block, this is twice their mean: the term added to the weights of a fit with
// importance.
inline constexpr float uneven_square_share = 2.0f / 32.0f;

}  // namespace hartonomous::codecs
