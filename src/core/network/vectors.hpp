// Operations of a language model on arrays of floats, with vector instructions.
#pragma once

#include <cstddef>

namespace hartonomous::network_detail {

// out[i] = x[i] * weight[i] / sqrt(mean of squares + epsilon); out may be x.
void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::size_t count);
// gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)).
void gated(float* gate, const float* up, std::size_t count);
// x[i] += y[i]
void add(float* x, const float* y, std::size_t count);
// x = exp(x - max) / sum
void softmax(float* x, std::size_t count);
// x[i] = exp(x[i] - shift)
void exponentials(float* x, std::size_t count, float shift);
float maximum(const float* x, std::size_t count);  // -infinity if there are no numbers; NaN is ignored
// Sum of exp(x[i] - top).
double exponential_sum(const float* x, std::size_t count, float top);
// Sums of exp(x[i] - top), and of that times (x[i] - y[i]).
struct divergence_sums {
  double mass, weighted;
};
divergence_sums exponential_divergence(const float* x, const float* y, std::size_t count, float top);
// Rotates pairs of x by the angles whose cosines and sines (`pairs` of each) are given.
void rotate_adjacent(float* x, const float* cosines, const float* sines, std::size_t pairs);
void rotate_halves(float* x, const float* cosines, const float* sines, std::size_t pairs);

}  // namespace hartonomous::network_detail
