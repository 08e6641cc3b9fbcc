// dots_scalar.h with vpdpbusd, for any register width: the including file defines, beside its lanes,
// `Bytes` (a register), kParts (registers for 16 lanes), part(I&, p), splat_word, load_bytes, dot(acc, unsigned,
// signed), low_nibbles, high_nibbles.
#pragma once

#include <cstddef>
#include <cstdint>

namespace {

constexpr int kPartBytes = 64 / kParts;

template <int T>
inline void weight_dots(const std::uint8_t* w, int pairs, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  for (int p = 0; p < kParts; ++p) {
    Bytes acc[T];
    for (int t = 0; t < T; ++t) acc[t] = zero_bytes();
#pragma GCC unroll 8
    for (int i = 0; i < pairs; ++i) {
      const Bytes both = load_bytes(w + 64 * i + kPartBytes * p);
      const Bytes low = low_nibbles(both);
      const Bytes high = high_nibbles(both);
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t) acc[t] = dot(acc[t], low, splat_word(x + t * stride + 8 * i));
#pragma GCC unroll 16
      for (int t = 0; t < T; ++t) acc[t] = dot(acc[t], high, splat_word(x + t * stride + 8 * i + 4));
    }
    for (int t = 0; t < T; ++t) part(out[t], p) = acc[t];
  }
}

// Keys are stored with 128 added: start from -128 times the sum of the query.
template <int R>
inline void key_dots(const std::uint8_t* keys, int dim, const std::int8_t* queries, const std::int32_t* sums,
                     I (&out)[R]) {
  for (int r = 0; r < R; ++r)
    for (int p = 0; p < kParts; ++p) {
      const std::int32_t start = -128 * sums[r];
      part(out[r], p) = splat_word(&start);
    }
#pragma GCC unroll 4
  for (int d = 0; d < dim; d += 4)
    for (int p = 0; p < kParts; ++p) {
      const Bytes k = load_bytes(keys + 16 * d + kPartBytes * p);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) part(out[r], p) = dot(part(out[r], p), k, splat_word(queries + r * dim + d));
    }
}

// A weight is 128 * high + low, both of 7 bits.
struct PositionWeights {
  std::int8_t high[256];
  std::int8_t low[256];

  void set(int position, I weights) {
    store_bytes(high + position, shift_right_7(weights));
    store_bytes(low + position, low_7(weights));
  }
};

template <int R>
inline void value_dots(const std::int8_t* values, int quads, int dim, const PositionWeights* weights, I (&out)[R]) {
  for (int p = 0; p < kParts; ++p) {
    Bytes high[R];
    Bytes low[R];
    for (int r = 0; r < R; ++r) high[r] = low[r] = zero_bytes();
    for (int quad = 0; quad < quads; ++quad) {
      const Bytes v = load_bytes(values + 4 * quad * dim + kPartBytes * p);
#pragma GCC unroll 4
      for (int r = 0; r < R; ++r) {
        high[r] = dot(high[r], splat_word(weights[r].high + 4 * quad), v);
        low[r] = dot(low[r], splat_word(weights[r].low + 4 * quad), v);
      }
    }
    for (int r = 0; r < R; ++r) part(out[r], p) = times_128_plus(high[r], low[r]);
  }
}

}  // namespace
