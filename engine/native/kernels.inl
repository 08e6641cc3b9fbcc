// The functions of kernels.h but attention's, on the lanes and dots that the including file chose. Everything here has
// internal linkage: code compiled for one instruction set must never be linked into another's.
#include <cmath>
#include <cstddef>
#include <cstring>

#include "kernels.h"

namespace {

using flash::Activations;
using flash::KvBlock;
using flash::PackedMatrix;

// e^x, relative error below 2e-7: 2^n times a polynomial on half of [-ln 2, ln 2] (Cody & Waite reduction; Taylor
// coefficients). Arguments beyond the float range are clamped.
inline F exponential(F x) {
  x = max(min(x, splat(88.0f)), splat(-87.0f));
  const F n = round(mul(x, splat(1.44269504f)));
  F r = fma(n, splat(-0.693359375f), x);
  r = fma(n, splat(2.12194440e-4f), r);
  F p = splat(1.0f / 5040);
  p = fma(p, r, splat(1.0f / 720));
  p = fma(p, r, splat(1.0f / 120));
  p = fma(p, r, splat(1.0f / 24));
  p = fma(p, r, splat(1.0f / 6));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r, splat(1.0f));
  p = fma(p, r, splat(1.0f));
  return mul(p, exp2_whole(n));
}

struct Scale {
  float value;    // of one quant
  float inverse;  // quants of one
};
// Symmetric int8 scale for values of magnitude up to `largest`.
inline Scale symmetric(float largest) {
  if (largest < 1e-30f) return {0.0f, 0.0f};
  return {largest / 127.0f, 127.0f / largest};
}

// int8 quants of n values with one scale. Returns their sum.
inline std::int32_t quantize_span(const float* x, int n, std::int8_t* quants, float* scale) {
  F largest = splat(0.0f);
  for (int i = 0; i < n; i += 16) largest = max(largest, abs(load(x + i)));
  const Scale found = symmetric(maximum(largest));
  std::int32_t total = 0;
  for (int i = 0; i < n; i += 16) {
    const I rounded = to_int(mul(load(x + i), splat(found.inverse)));
    store_bytes(quants + i, rounded);
    total += sum(rounded);
  }
  *scale = found.value;
  return total;
}

// Group `g` of a row of activations, from its values.
inline void quantize_group(const float* values, int g, Activations out) {
  const std::int32_t total = quantize_span(values, out.group, out.quants + g * out.group, out.scales + g);
  out.sums[g] = out.scales[g] * static_cast<float>(total);
}

inline void quantize(const float* x, Activations out) {
  for (int g = 0; g < out.groups(); ++g) quantize_group(x + g * out.group, g, out);
}

inline void rms_norm(const float* x, const float* weight, float epsilon, Activations out) {
  F squares = splat(0.0f);
  for (int i = 0; i < out.k; i += 16) {
    const F v = load(x + i);
    squares = fma(v, v, squares);
  }
  const F inverse = splat(1.0f / std::sqrt(sum(squares) / static_cast<float>(out.k) + epsilon));
  for (int g = 0; g < out.groups(); ++g) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) {
      const int at = g * out.group + i;
      store(values + i, mul(mul(load(x + at), inverse), load(weight + at)));
    }
    quantize_group(values, g, out);
  }
}

inline void swiglu(const float* gate_up, int first, int count, Activations out) {
  for (int at = first; at < first + count; at += out.group) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) {
      const F gate = load(gate_up + 2 * (at + i));
      const F up = load(gate_up + 2 * (at + i) + 16);
      const F denominator = add(splat(1.0f), exponential(sub(splat(0.0f), gate)));
      store(values + i, mul(div(gate, denominator), up));
    }
    quantize_group(values, at / out.group, out);
  }
}

constexpr int kPrefetchBytes = 2048;  // ahead of the weights in use

// What the products of 16 rows and a token are added to.
struct Fresh {
  static F start(const float* bias, const float*) { return load(bias); }
};
struct Onto {
  static F start(const float* bias, const float* out) { return add(load(out), load(bias)); }
};

template <class Start, int Group, int T>
inline void matmul_tile(const PackedMatrix& w, const std::uint8_t* block, const float* bias, Activations x, float* out,
                        std::ptrdiff_t stride) {
  const int groups = w.k / Group;
  constexpr int kNibbleBytes = Group * 8;
  F acc[T];
  for (int t = 0; t < T; ++t) acc[t] = Start::start(bias, out + t * stride);
  for (int g = 0; g < groups; ++g, block += kNibbleBytes + 64) {
    for (int i = 0; i < kNibbleBytes + 64; i += 64) __builtin_prefetch(block + kPrefetchBytes + i);
    I dots[T];
    weight_dots<Group, T>(block, x.quants + g * Group, w.k, dots);
    const F scale = load_half(block + kNibbleBytes);
    const F offset = load_half(block + kNibbleBytes + 32);
    for (int t = 0; t < T; ++t) {
      const int at = t * groups + g;
      acc[t] = fma(splat(x.sums[at]), offset, acc[t]);
      acc[t] = fma(mul(splat(x.scales[at]), to_float(dots[t])), scale, acc[t]);
    }
  }
  for (int t = 0; t < T; ++t) store(out + t * stride, acc[t]);
}

// The last `tokens` of at most T.
template <class Start, int Group, int T>
inline void matmul_rest(const PackedMatrix& w, const std::uint8_t* block, const float* bias, Activations x, int tokens,
                        float* out, std::ptrdiff_t stride) {
  if (tokens == T) return matmul_tile<Start, Group, T>(w, block, bias, x, out, stride);
  if constexpr (T > 1) matmul_rest<Start, Group, T - 1>(w, block, bias, x, tokens, out, stride);
}

template <class Start, int Group>
inline void matmul_groups(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                          float* out, std::ptrdiff_t stride) {
  for (int b = first; b < last; ++b) {
    const std::uint8_t* block = w.block(b);
    float* rows = out + 16 * b;
    int t = 0;
    for (; t + kTokenTile <= tokens; t += kTokenTile, rows += kTokenTile * stride)
      matmul_tile<Start, Group, kTokenTile>(w, block, bias + 16 * b, x.from(t), rows, stride);
    matmul_rest<Start, Group, kTokenTile - 1>(w, block, bias + 16 * b, x.from(t), tokens - t, rows, stride);
  }
}

template <class Start>
inline void matmul(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens, float* out,
                   std::ptrdiff_t stride) {
  if (w.group == 64)
    matmul_groups<Start, 64>(w, first, last, bias, x, tokens, out, stride);
  else
    matmul_groups<Start, 32>(w, first, last, bias, x, tokens, out, stride);
}

constexpr int kMaxHeadDim = 256;

inline void rotate(const float* head, const float* cosine, const float* sine, int dim, float* out) {
  const int half = dim / 2;
  for (int i = 0; i < half; i += 16) {
    const F a = load(head + i);
    const F b = load(head + half + i);
    const F c = load(cosine + i);
    const F s = load(sine + i);
    store(out + i, fma(a, c, sub(splat(0.0f), mul(b, s))));
    store(out + half + i, fma(b, c, mul(a, s)));
  }
}

inline void store_query(const float* head, const float* cosine, const float* sine, int dim, std::int8_t* quants,
                        float* scale, std::int32_t* total) {
  float rotated[kMaxHeadDim];
  rotate(head, cosine, sine, dim, rotated);
  *total = quantize_span(rotated, dim, quants, scale);
  *scale /= std::sqrt(static_cast<float>(dim));
}

inline void store_key(const float* head, const float* cosine, const float* sine, int dim, KvBlock block, int slot) {
  float rotated[kMaxHeadDim];
  std::int8_t quants[kMaxHeadDim];
  rotate(head, cosine, sine, dim, rotated);
  quantize_span(rotated, dim, quants, block.key_scales + slot);
  std::uint8_t* keys = block.keys + slot / 16 * 16 * dim + slot % 16 * 4;
  for (int d = 0; d < dim; ++d) keys[d / 4 * 64 + d % 4] = static_cast<std::uint8_t>(quants[d] + 128);
}

inline void store_value(const float* head, int dim, KvBlock block, int slot) {
  std::int8_t quants[kMaxHeadDim];
  quantize_span(head, dim, quants, block.value_scales + slot);
  std::int8_t* values = block.values + slot / 4 * 4 * dim + slot % 4;
  for (int d = 0; d < dim; ++d) values[4 * d] = quants[d];
}

inline void dequantize_row(const PackedMatrix& w, int row, float* out) {
  const std::uint8_t* group = w.block(row / 16);
  const int lane = row % 16;
  for (int g = 0; g < w.groups(); ++g, group += w.group_bytes(), out += w.group) {
    float scales[16];
    float biases[16];
    store(scales, load_half(group + w.group * 8));
    store(biases, load_half(group + w.group * 8 + 32));
    for (int p = 0; p < w.group / 8; ++p)
      for (int j = 0; j < 4; ++j) {
        const int byte = group[64 * p + 4 * lane + j];
        out[8 * p + j] = std::fma(scales[lane], static_cast<float>(byte & 15), biases[lane]);
        out[8 * p + 4 + j] = std::fma(scales[lane], static_cast<float>(byte >> 4), biases[lane]);
      }
  }
}

inline void log_sum_exp(const float* x, int n, int* best, float* result) {
  const F lowest = splat(-INFINITY);
  const auto lanes = [&](int i) {  // a vector of values, lowest behind the end
    if (i + 16 <= n) return load(x + i);
    float tail[16] = {};
    std::memcpy(tail, x + i, sizeof(float) * (n - i));
    return first(n - i, load(tail), lowest);
  };
  F top = lowest;
  for (int i = 0; i < n; i += 16) top = max(top, lanes(i));
  const float highest = maximum(top);
  F total = splat(0.0f);
  for (int i = 0; i < n; i += 16) {
    const F e = exponential(sub(lanes(i), splat(highest)));
    total = add(total, first(n - i, e, splat(0.0f)));
  }
  *best = 0;
  while (*best < n - 1 && x[*best] != highest) ++*best;
  *result = highest + std::log(sum(total));
}

}  // namespace
