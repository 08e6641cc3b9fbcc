// The functions of kernels.h but attention's, on the lanes and dots that the including file chose. Everything here has
// internal linkage: code compiled for one instruction set must never be linked into another's.
#include <cmath>
#include <cstddef>
#include <cstring>

#include "kernels.h"

namespace {

using flash::Activations;
using flash::Bits;
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
  return times_exp2(p, n);
}

// 2^x for x up to 0, relative error below 8e-5: what 7 bits of a position's weight leave is far more. Minimax polynomial
// on [-1/2, 1/2]; arguments beyond the float range are clamped.
inline F power_of_two(F x) {
  x = max(x, splat(-126.0f));
  const F n = round(x);
  const F r = sub(x, n);
  F p = splat(0.05517167f);
  p = fma(p, r, splat(0.24261114f));
  p = fma(p, r, splat(0.69326097f));
  p = fma(p, r, splat(0.99992806f));
  return times_exp2(p, n);
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
  I total = to_int(splat(0.0f));
  for (int i = 0; i < n; i += 16) {
    const I rounded = to_int(mul(load(x + i), splat(found.inverse)));
    store_bytes(quants + i, rounded);
    total = add(total, rounded);
  }
  *scale = found.value;
  return sum(total);
}

// Group `g` of a row of activations, from its values.
inline void quantize_group(const float* values, int g, Activations out) {
  const std::int32_t total = quantize_span(values, out.group, out.quants + g * out.group, out.scales + g);
  out.sums[g] = out.scales[g] * static_cast<float>(total);
}

inline void quantize(const float* x, Activations out) {
  for (int g = 0; g < out.groups(); ++g) quantize_group(x + g * out.group, g, out);
}

// One over the root of the mean square of n values.
inline F inverse_magnitude(const float* x, int n, float epsilon) {
  F squares = splat(0.0f);
  for (int i = 0; i < n; i += 16) {
    const F v = load(x + i);
    squares = fma(v, v, squares);
  }
  return splat(1.0f / std::sqrt(sum(squares) / static_cast<float>(n) + epsilon));
}

inline void norm_head(const float* head, const float* weight, float epsilon, int dim, float* out) {
  const F inverse = inverse_magnitude(head, dim, epsilon);
  for (int i = 0; i < dim; i += 16) store(out + i, mul(mul(load(head + i), inverse), load(weight + i)));
}

inline void rms_norm(const float* x, const float* weight, float epsilon, Activations out) {
  const F inverse = inverse_magnitude(x, out.k, epsilon);
  for (int g = 0; g < out.groups(); ++g) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) {
      const int at = g * out.group + i;
      store(values + i, mul(mul(load(x + at), inverse), load(weight + at)));
    }
    quantize_group(values, g, out);
  }
}

inline void layer_norm(const float* x, const float* weight, const float* bias, float epsilon, Activations out) {
  F total = splat(0.0f);
  for (int i = 0; i < out.k; i += 16) total = add(total, load(x + i));
  const F mean = splat(sum(total) / static_cast<float>(out.k));
  F squares = splat(0.0f);
  for (int i = 0; i < out.k; i += 16) {
    const F v = sub(load(x + i), mean);
    squares = fma(v, v, squares);
  }
  const F inverse = splat(1.0f / std::sqrt(sum(squares) / static_cast<float>(out.k) + epsilon));
  for (int g = 0; g < out.groups(); ++g) {
    float values[64];
    for (int i = 0; i < out.group; i += 16) {
      const int at = g * out.group + i;
      store(values + i, fma(mul(sub(load(x + at), mean), inverse), load(weight + at), load(bias + at)));
    }
    quantize_group(values, g, out);
  }
}

constexpr int kPrefetchBytes = 4096;  // ahead of the weights in use
constexpr int kPrefetchTokens = 4;    // fewer leave enough reads in flight without

// What the products of 16 rows and a token are added to.
struct Fresh {
  static F start(const float* bias, const float*) { return load(bias); }
};
struct Onto {
  static F start(const float* bias, const float* out) { return add(load(out), load(bias)); }
};

// How the values of a group are stored (kernels.h), and their products with the quants of T tokens.
template <int Group>
struct Nibbles {
  static constexpr int kGroup = Group;
  static constexpr int kValueBytes = Group * 8;
  template <int T>
  static void dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
    nibble_dots<Group, T>(w, x, stride, out);
  }
};
template <int Group>
struct Octets {
  static constexpr int kGroup = Group;
  static constexpr int kValueBytes = Group * 16;
  template <int T>
  static void dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
    byte_dots<Group, T>(w, x, stride, out);
  }
};

// 16 rows times T tokens.
template <class Start, class Layout>
struct IntegerTile {
  static constexpr int kTokens = kTokenTile;

  template <int T>
  static void run(const PackedMatrix& w, const std::uint8_t* block, const float* bias, Activations x, float* out,
                  std::ptrdiff_t stride) {
    constexpr int kGroup = Layout::kGroup;
    constexpr int kValueBytes = Layout::kValueBytes;
    const int groups = w.k / kGroup;
    F acc[T];
    for (int t = 0; t < T; ++t) acc[t] = Start::start(bias, out + t * stride);
    for (int g = 0; g < groups; ++g, block += kValueBytes + 64) {
      if constexpr (T >= kPrefetchTokens)
        for (int i = 0; i < kValueBytes + 64; i += 64) __builtin_prefetch(block + kPrefetchBytes + i);
      I dots[T];
      Layout::template dots<T>(block, x.quants + g * kGroup, w.k, dots);
      const F scale = load_half(block + kValueBytes);
      const F offset = load_half(block + kValueBytes + 32);
      for (int t = 0; t < T; ++t) {
        const int at = t * groups + g;
        acc[t] = fma(splat(x.sums[at]), offset, acc[t]);
        acc[t] = fma(mul(splat(x.scales[at]), to_float(dots[t])), scale, acc[t]);
      }
    }
    for (int t = 0; t < T; ++t) store(out + t * stride, acc[t]);
  }
};

// The same for 16-bit weights, in floats: two sums a group, of its even and odd columns.
template <class Start>
struct HalfTile {
  static constexpr int kTokens = 4;

  template <int T>
  static void run(const PackedMatrix& w, const std::uint8_t* block, const float* bias, Activations x, float* out,
                  std::ptrdiff_t stride) {
    F acc[T];
    for (int t = 0; t < T; ++t) acc[t] = Start::start(bias, out + t * stride);
    for (int g = 0; g < w.groups(); ++g) {
      F even[T];
      F odd[T];
      for (int t = 0; t < T; ++t) even[t] = odd[t] = splat(0.0f);
      const std::int8_t* quants = x.quants + g * w.group;
      for (int i = 0; i < w.group; i += 2, block += 64) {
        const F left = load_half(block);
        const F right = load_half(block + 32);
        for (int t = 0; t < T; ++t) {
          even[t] = fma(left, splat(quants[t * w.k + i]), even[t]);
          odd[t] = fma(right, splat(quants[t * w.k + i + 1]), odd[t]);
        }
      }
      for (int t = 0; t < T; ++t) acc[t] = fma(splat(x.scales[t * w.groups() + g]), add(even[t], odd[t]), acc[t]);
    }
    for (int t = 0; t < T; ++t) store(out + t * stride, acc[t]);
  }
};

// The last `tokens` of at most T.
template <class Tile, int T>
inline void matmul_rest(const PackedMatrix& w, const std::uint8_t* block, const float* bias, Activations x, int tokens,
                        float* out, std::ptrdiff_t stride) {
  if (tokens == T) return Tile::template run<T>(w, block, bias, x, out, stride);
  if constexpr (T > 1) matmul_rest<Tile, T - 1>(w, block, bias, x, tokens, out, stride);
}

template <class Tile>
inline void matmul_tiles(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                         float* out, std::ptrdiff_t stride) {
  for (int b = first; b < last; ++b) {
    const std::uint8_t* block = w.block(b);
    float* rows = out + 16 * b;
    int t = 0;
    for (; t + Tile::kTokens <= tokens; t += Tile::kTokens, rows += Tile::kTokens * stride)
      Tile::template run<Tile::kTokens>(w, block, bias + 16 * b, x.from(t), rows, stride);
    matmul_rest<Tile, Tile::kTokens - 1>(w, block, bias + 16 * b, x.from(t), tokens - t, rows, stride);
  }
}

template <class Start>
inline void matmul(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens, float* out,
                   std::ptrdiff_t stride) {
  const auto run = [&](auto tile) {
    matmul_tiles<decltype(tile)>(w, first, last, bias, x, tokens, out, stride);
  };
  if (w.bits == Bits::k16)
    run(HalfTile<Start>());
  else if (w.bits == Bits::k8 && w.group == 64)
    run(IntegerTile<Start, Octets<64>>());
  else if (w.bits == Bits::k8)
    run(IntegerTile<Start, Octets<32>>());
  else if (w.group == 64)
    run(IntegerTile<Start, Nibbles<64>>());
  else
    run(IntegerTile<Start, Nibbles<32>>());
}

inline void rotate(const float* head, const float* cosine, const float* sine, int dim, float* out) {
  const int half = dim / 2;
  int i = 0;
  do {
    const F a = load(head + i);
    const F b = load(head + half + i);
    const F c = load(cosine + i);
    const F s = load(sine + i);
    store(out + i, fma(a, c, sub(splat(0.0f), mul(b, s))));
    store(out + half + i, fma(b, c, mul(a, s)));
    i += 16;
  } while (i < half);
}

inline void store_query(const float* head, const float* cosine, const float* sine, int dim, std::int8_t* quants,
                        float* scale, std::int32_t* total) {
  float rotated[flash::kMostHeadDim];
  rotate(head, cosine, sine, dim, rotated);
  *total = quantize_span(rotated, dim, quants, scale);
  *scale /= std::sqrt(static_cast<float>(dim));
}

inline void store_key(const float* head, const float* cosine, const float* sine, int dim, KvBlock block, int slot) {
  float rotated[flash::kMostHeadDim];
  std::int8_t quants[flash::kMostHeadDim];
  rotate(head, cosine, sine, dim, rotated);
  quantize_span(rotated, dim, quants, block.key_scales + slot);
  std::uint8_t* keys = block.keys + slot / 16 * 16 * dim + slot % 16 * 4;
  for (int d = 0; d < dim; ++d) keys[d / 4 * 64 + d % 4] = static_cast<std::uint8_t>(quants[d] + 128);
}

inline void store_value(const float* head, int dim, KvBlock block, int slot) {
  std::int8_t quants[flash::kMostHeadDim];
  quantize_span(head, dim, quants, block.value_scales + slot);
  std::int8_t* values = block.values + slot / 4 * 4 * dim + slot % 4;
  for (int d = 0; d < dim; ++d) values[4 * d] = quants[d];
}

// The value of column i of a group, in lane `lane`, as an integer.
inline int integer_at(const PackedMatrix& w, const std::uint8_t* group, int lane, int i) {
  if (w.bits == Bits::k8) return group[i / 4 * 64 + 4 * lane + i % 4];
  const int byte = group[i / 8 * 64 + 4 * lane + i % 4];
  return i % 8 < 4 ? byte & 15 : byte >> 4;
}

inline void dequantize_row(const PackedMatrix& w, int row, float factor, float* out) {
  const std::uint8_t* group = w.block(row / 16);
  const int lane = row % 16;
  for (int g = 0; g < w.groups(); ++g, group += w.group_bytes(), out += w.group) {
    float scales[16];
    float biases[16];
    if (w.bits == Bits::k16) {
      for (int i = 0; i < w.group; ++i) {
        store(scales, load_half(group + 32 * i));
        out[i] = factor * scales[lane];
      }
      continue;
    }
    store(scales, load_half(group + w.value_bytes()));
    store(biases, load_half(group + w.value_bytes() + 32));
    for (int i = 0; i < w.group; ++i)
      out[i] = factor * std::fma(scales[lane], static_cast<float>(integer_at(w, group, lane, i)), biases[lane]);
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
