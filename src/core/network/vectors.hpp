// Operations of a language model on arrays of floats, with vector instructions.
#pragma once

#include <cstddef>
#include <limits>

namespace hartonomous::network_detail {

// out[i] = x[i] * weight[i] / sqrt(mean of squares + epsilon); out may be x.
void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::size_t count);
// gate[i] = silu(gate[i]) * up[i], silu(x) = x / (1 + exp(-x)).
void gated(float* gate, const float* up, std::size_t count);
// The same with gelu(x) = x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) (Hendrycks and Gimpel 2016).
void gelu_gated(float* gate, const float* up, std::size_t count);
// gate[i] = g / (1 + exp(-1.702 g)) (1 + u), where g = min(gate[i], 7) and u is up[i] within [-7, 7].
void clamped_gated(float* gate, const float* up, std::size_t count);
// out[i] = (x[i] - mean) / sqrt(variance + epsilon) * weight[i] + bias[i]; out may be x (Ba et al. 2016).
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* out, std::size_t count);
// x[i] = cap * tanh(x[i] / cap)
void softcap(float* x, std::size_t count, float cap);
// x[i] *= factor
void scale(float* x, std::size_t count, float factor);
// x[i] += y[i]
void add(float* x, const float* y, std::size_t count);
// x = exp(x - max) / sum, with one more number, `sink`, that only counts in the maximum and the sum.
void softmax(float* x, std::size_t count, float sink = -std::numeric_limits<float>::infinity());
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
