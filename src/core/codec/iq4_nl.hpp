// What the scalar and the vector code of IQ4_NL share: the values that its levels stand for.
#pragma once

#include <cstdint>

namespace hartonomous::codecs {

// Closer together where weights are many.
inline constexpr std::int8_t uneven_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                  1,    13,   25,  38,  53,  69,  89,  113};

// Half way between two values the upper one begins. That is exact: the reference compares the distances to both, and
// near the middle neither difference is rounded.
inline constexpr float uneven_middles[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                             7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};

// Scales that are tried to either side of the one that gives the weight of largest magnitude the lowest value.
inline constexpr int uneven_trials = 7;

// The sum of the squares of a block times this, twice their mean, goes into the weights of a fit by importance.
inline constexpr float uneven_square_share = 2.0f / 32.0f;

}  // namespace hartonomous::codecs
