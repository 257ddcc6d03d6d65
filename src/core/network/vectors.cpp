// Norms, softmax, activations and rotations with vector instructions (vectors.hpp).
//
// There are as many partial sums as a vector has lanes, so the last digits of sums depend on the processor, like those
// of the matrix products.
#include "network/vectors.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "network/vectors.cpp"
#include <hwy/foreach_target.h>  // must come before highway.h

#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include <cmath>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace hartonomous::network_detail::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using tag = hn::ScalableTag<float>;
using floats = hn::Vec<tag>;

HWY_INLINE std::size_t whole(std::size_t count) { return count - count % hn::Lanes(tag()); }

// exp of a vector; results below the smallest normal number are zero.
HWY_INLINE floats exponential(floats x) {
  const tag d;
  const floats e = hn::Exp(d, hn::Max(x, hn::Set(d, -87.0f)));
  return hn::IfThenElse(hn::Lt(x, hn::Set(d, -87.0f)), hn::Zero(d), hn::IfThenElse(hn::IsNaN(x), x, e));
}

void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  floats sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats v = hn::LoadU(d, x + i);
    sums = hn::MulAdd(v, v, sums);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += x[i] * x[i];
  const float scale = 1.0f / std::sqrt(sum / static_cast<float>(count) + epsilon);
  const floats scales = hn::Set(d, scale);
  for (i = 0; i < vectors; i += lanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scales), hn::LoadU(d, weight + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = x[i] * scale * weight[i];
}

void gated(float* gate, const float* up, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats one = hn::Set(d, 1.0f);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats g = hn::LoadU(d, gate + i);
    const floats silu = hn::Div(g, hn::Add(one, exponential(hn::Neg(g))));
    hn::StoreU(hn::Mul(silu, hn::LoadU(d, up + i)), d, gate + i);
  }
  for (; i < count; ++i) gate[i] = gate[i] / (1.0f + std::exp(-gate[i])) * up[i];
}

void gelu_gated(float* gate, const float* up, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  constexpr float slope = 0.797884560802865f, cubic = 0.044715f;  // sqrt(2 / pi)
  const floats one = hn::Set(d, 1.0f), half = hn::Set(d, 0.5f);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats g = hn::LoadU(d, gate + i);
    const floats bent = hn::MulAdd(hn::Mul(hn::Set(d, cubic), hn::Mul(g, g)), g, g);
    const floats tanh = hn::Tanh(d, hn::Mul(hn::Set(d, slope), bent));
    hn::StoreU(hn::Mul(hn::Mul(hn::Mul(half, g), hn::Add(one, tanh)), hn::LoadU(d, up + i)), d, gate + i);
  }
  for (; i < count; ++i) {
    const float g = gate[i];
    gate[i] = 0.5f * g * (1.0f + std::tanh(slope * (g + cubic * g * g * g))) * up[i];
  }
}

void clamped_gated(float* gate, const float* up, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  constexpr float slope = 1.702f, limit = 7.0f;
  const floats one = hn::Set(d, 1.0f), most = hn::Set(d, limit), least = hn::Set(d, -limit);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats g = hn::Min(hn::LoadU(d, gate + i), most);
    const floats share = hn::Div(g, hn::Add(one, exponential(hn::Mul(hn::Set(d, -slope), g))));
    const floats u = hn::Max(least, hn::Min(hn::LoadU(d, up + i), most));
    hn::StoreU(hn::Mul(share, hn::Add(one, u)), d, gate + i);
  }
  for (; i < count; ++i) {
    const float g = gate[i] < limit ? gate[i] : limit;
    const float above = up[i] > -limit ? up[i] : -limit, u = above < limit ? above : limit;
    gate[i] = g / (1.0f + std::exp(-slope * g)) * (1.0f + u);
  }
}

void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* out, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  floats sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) sums = hn::Add(sums, hn::LoadU(d, x + i));
  float sum = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) sum += x[i];
  const float mean = sum / static_cast<float>(count);
  const floats means = hn::Set(d, mean);
  sums = hn::Zero(d);
  for (i = 0; i < vectors; i += lanes) {
    const floats v = hn::Sub(hn::LoadU(d, x + i), means);
    sums = hn::MulAdd(v, v, sums);
  }
  float squares = hn::GetLane(hn::SumOfLanes(d, sums));
  for (; i < count; ++i) squares += (x[i] - mean) * (x[i] - mean);
  const float factor = 1.0f / std::sqrt(squares / static_cast<float>(count) + epsilon);
  const floats factors = hn::Set(d, factor);
  for (i = 0; i < vectors; i += lanes) {
    const floats v = hn::Mul(hn::Sub(hn::LoadU(d, x + i), means), factors);
    hn::StoreU(hn::Add(hn::Mul(v, hn::LoadU(d, weight + i)), hn::LoadU(d, bias + i)), d, out + i);
  }
  for (; i < count; ++i) out[i] = (x[i] - mean) * factor * weight[i] + bias[i];
}

void softcap(float* x, std::size_t count, float cap) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats caps = hn::Set(d, cap), inverse = hn::Set(d, 1.0f / cap);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    hn::StoreU(hn::Mul(caps, hn::Tanh(d, hn::Mul(hn::LoadU(d, x + i), inverse))), d, x + i);
  }
  for (; i < count; ++i) x[i] = cap * std::tanh(x[i] * (1.0f / cap));
}

void scale(float* x, std::size_t count, float factor) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats factors = hn::Set(d, factor);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), factors), d, x + i);
  for (; i < count; ++i) x[i] *= factor;
}

void add(float* x, const float* y, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) hn::StoreU(hn::Add(hn::LoadU(d, x + i), hn::LoadU(d, y + i)), d, x + i);
  for (; i < count; ++i) x[i] += y[i];
}

float maximum(const float* x, std::size_t count) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  constexpr float least = -std::numeric_limits<float>::infinity();
  floats tops = hn::Set(d, least);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats v = hn::LoadU(d, x + i);
    tops = hn::IfThenElse(hn::Gt(v, tops), v, tops);
  }
  float top = hn::GetLane(hn::MaxOfLanes(d, tops));
  for (; i < count; ++i) top = x[i] > top ? x[i] : top;
  return top;
}

double exponential_sum(const float* x, std::size_t count, float top) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats tops = hn::Set(d, top);
  floats sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) sums = hn::Add(sums, exponential(hn::Sub(hn::LoadU(d, x + i), tops)));
  auto sum = static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sums)));
  for (; i < count; ++i) sum += static_cast<double>(std::exp(x[i] - top));
  return sum;
}

void exponentials(float* x, std::size_t count, float shift) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats shifts = hn::Set(d, shift);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) hn::StoreU(exponential(hn::Sub(hn::LoadU(d, x + i), shifts)), d, x + i);
  for (; i < count; ++i) x[i] = std::exp(x[i] - shift);
}

divergence_sums exponential_divergence(const float* x, const float* y, std::size_t count, float top) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const floats tops = hn::Set(d, top);
  floats masses = hn::Zero(d), weighted = hn::Zero(d);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats v = hn::LoadU(d, x + i);
    const floats e = exponential(hn::Sub(v, tops));
    masses = hn::Add(masses, e);
    weighted = hn::MulAdd(e, hn::Sub(v, hn::LoadU(d, y + i)), weighted);
  }
  divergence_sums sums = {static_cast<double>(hn::GetLane(hn::SumOfLanes(d, masses))),
                          static_cast<double>(hn::GetLane(hn::SumOfLanes(d, weighted)))};
  for (; i < count; ++i) {
    const auto e = static_cast<double>(std::exp(x[i] - top));
    sums.mass += e;
    sums.weighted += e * static_cast<double>(x[i] - y[i]);
  }
  return sums;
}

void softmax(float* x, std::size_t count, float sink) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(count);
  const float most = maximum(x, count), top = sink > most ? sink : most;
  const floats tops = hn::Set(d, top);
  floats sums = hn::Zero(d);
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats e = exponential(hn::Sub(hn::LoadU(d, x + i), tops));
    hn::StoreU(e, d, x + i);
    sums = hn::Add(sums, e);
  }
  float sum = hn::GetLane(hn::SumOfLanes(d, sums)) + std::exp(sink - top);
  for (; i < count; ++i) {
    x[i] = std::exp(x[i] - top);
    sum += x[i];
  }
  const float scale = 1.0f / sum;
  const floats scales = hn::Set(d, scale);
  for (i = 0; i < vectors; i += lanes) hn::StoreU(hn::Mul(hn::LoadU(d, x + i), scales), d, x + i);
  for (; i < count; ++i) x[i] *= scale;
}

void rotate_halves(float* x, const float* cosines, const float* sines, std::size_t pairs) {
  const tag d;
  const std::size_t lanes = hn::Lanes(d), vectors = whole(pairs);
  float* y = x + pairs;
  std::size_t i = 0;
  for (; i < vectors; i += lanes) {
    const floats a = hn::LoadU(d, x + i), b = hn::LoadU(d, y + i);
    const floats c = hn::LoadU(d, cosines + i), s = hn::LoadU(d, sines + i);
    hn::StoreU(hn::Sub(hn::Mul(a, c), hn::Mul(b, s)), d, x + i);
    hn::StoreU(hn::Add(hn::Mul(a, s), hn::Mul(b, c)), d, y + i);
  }
  for (; i < pairs; ++i) {
    const float a = x[i], b = y[i];
    x[i] = a * cosines[i] - b * sines[i];
    y[i] = a * sines[i] + b * cosines[i];
  }
}

void rotate_adjacent(float* x, const float* cosines, const float* sines, std::size_t pairs) {
  for (std::size_t i = 0; i < pairs; ++i) {
    const float a = x[2 * i], b = x[2 * i + 1];
    x[2 * i] = a * cosines[i] - b * sines[i];
    x[2 * i + 1] = a * sines[i] + b * cosines[i];
  }
}

}  // namespace
}  // namespace hartonomous::network_detail::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hartonomous::network_detail {

HWY_EXPORT(rms_norm);
HWY_EXPORT(gated);
HWY_EXPORT(gelu_gated);
HWY_EXPORT(clamped_gated);
HWY_EXPORT(layer_norm);
HWY_EXPORT(softcap);
HWY_EXPORT(scale);
HWY_EXPORT(add);
HWY_EXPORT(softmax);
HWY_EXPORT(exponentials);
HWY_EXPORT(maximum);
HWY_EXPORT(exponential_sum);
HWY_EXPORT(exponential_divergence);
HWY_EXPORT(rotate_adjacent);
HWY_EXPORT(rotate_halves);

void rms_norm(const float* x, const float* weight, float epsilon, float* out, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(rms_norm)(x, weight, epsilon, out, count);
}
void gated(float* gate, const float* up, std::size_t count) { HWY_DYNAMIC_DISPATCH(gated)(gate, up, count); }
void add(float* x, const float* y, std::size_t count) { HWY_DYNAMIC_DISPATCH(add)(x, y, count); }
void softmax(float* x, std::size_t count, float sink) { HWY_DYNAMIC_DISPATCH(softmax)(x, count, sink); }
void gelu_gated(float* gate, const float* up, std::size_t count) { HWY_DYNAMIC_DISPATCH(gelu_gated)(gate, up, count); }
void clamped_gated(float* gate, const float* up, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(clamped_gated)(gate, up, count);
}
void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, float* out, std::size_t count) {
  HWY_DYNAMIC_DISPATCH(layer_norm)(x, weight, bias, epsilon, out, count);
}
void softcap(float* x, std::size_t count, float cap) { HWY_DYNAMIC_DISPATCH(softcap)(x, count, cap); }
void scale(float* x, std::size_t count, float factor) { HWY_DYNAMIC_DISPATCH(scale)(x, count, factor); }
void exponentials(float* x, std::size_t count, float shift) { HWY_DYNAMIC_DISPATCH(exponentials)(x, count, shift); }
float maximum(const float* x, std::size_t count) { return HWY_DYNAMIC_DISPATCH(maximum)(x, count); }
double exponential_sum(const float* x, std::size_t count, float top) {
  return HWY_DYNAMIC_DISPATCH(exponential_sum)(x, count, top);
}
divergence_sums exponential_divergence(const float* x, const float* y, std::size_t count, float top) {
  return HWY_DYNAMIC_DISPATCH(exponential_divergence)(x, y, count, top);
}
void rotate_adjacent(float* x, const float* cosines, const float* sines, std::size_t pairs) {
  HWY_DYNAMIC_DISPATCH(rotate_adjacent)(x, cosines, sines, pairs);
}
void rotate_halves(float* x, const float* cosines, const float* sines, std::size_t pairs) {
  HWY_DYNAMIC_DISPATCH(rotate_halves)(x, cosines, sines, pairs);
}

}  // namespace hartonomous::network_detail
#endif  // HWY_ONCE
