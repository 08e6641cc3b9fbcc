// Activation functions of feed-forward layers, and the softmax that chooses experts. See kernels.inl for the rules of this file.
#include "kernels.h"

namespace {

inline F sigmoid_times(F x, F slope) {  // x / (1 + e^-slope)
  return div(x, add(splat(1.0f), exponential(sub(splat(0.0f), slope))));
}

inline F silu(F x) { return sigmoid_times(x, x); }

// x Phi(x) = (x + |x| erf(|x| / sqrt 2)) / 2; erf by Abramowitz & Stegun 7.1.26, absolute error below 1.5e-7.
inline F gelu(F x) {
  const F size = abs(x);
  const F z = mul(size, splat(0.70710678f));
  const F t = div(splat(1.0f), fma(z, splat(0.3275911f), splat(1.0f)));
  F p = splat(1.061405429f);
  p = fma(p, t, splat(-1.453152027f));
  p = fma(p, t, splat(1.421413741f));
  p = fma(p, t, splat(-0.284496736f));
  p = fma(p, t, splat(0.254829592f));
  const F tail = mul(mul(p, t), exponential(sub(splat(0.0f), mul(z, z))));
  return mul(splat(0.5f), fma(size, sub(splat(1.0f), tail), x));
}

// x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2 (Hendrycks & Gimpel 2016), by 1 + tanh(u) = 2 / (1 + e^-2u).
inline F gelu_tanh(F x) {
  const F cubic = fma(mul(mul(x, x), x), splat(0.044715f), x);
  return sigmoid_times(x, mul(cubic, splat(1.59576912f)));
}

template <F (*Act)(F)>
inline void plain(const float* x, int first, int count, Activations out) {
  for (int at = first; at < first + count; at += out.group) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) store(values + i, Act(load(x + at + i)));
    quantize_group(values, at / out.group, out);
  }
}

template <F (*Act)(F)>
inline void gated(const float* gate_up, int first, int count, Activations out) {
  for (int at = first; at < first + count; at += out.group) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) {
      const float* gate = gate_up + 2 * (at + i);
      store(values + i, mul(Act(load(gate)), load(gate + 16)));
    }
    quantize_group(values, at / out.group, out);
  }
}

inline void softmax(float* x, int n) {
  const F lowest = splat(-INFINITY);
  F top = lowest;
  for (int i = 0; i < n; i += 16) top = max(top, first(n - i, load(x + i), lowest));
  const F highest = splat(maximum(top));
  F total = splat(0.0f);
  for (int i = 0; i < n; i += 16) {
    const F e = first(n - i, exponential(sub(load(x + i), highest)), splat(0.0f));
    total = add(total, e);
    store(x + i, e);
  }
  const F sums = splat(sum(total));
  for (int i = 0; i < n; i += 16) store(x + i, div(load(x + i), sums));
}

}  // namespace
