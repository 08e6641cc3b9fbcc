// Exact integer products, in plain C++: the definition that the other dots_*.h must equal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes_scalar.h"

namespace {

constexpr int kTokenTile = 4;
constexpr int kValueLanes = 16;  // values that value_dots computes at a time

// out[t] lane i = sum over one group of row i's nibbles times token t's quants.
template <int Group, int T>
inline void nibble_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  for (int t = 0; t < T; ++t)
    for (int row = 0; row < 16; ++row) {
      std::int32_t dot = 0;
      for (int p = 0; p < Group / 8; ++p)
        for (int j = 0; j < 4; ++j) {
          const int byte = w[64 * p + 4 * row + j];
          dot += (byte & 15) * x[t * stride + 8 * p + j] + (byte >> 4) * x[t * stride + 8 * p + 4 + j];
        }
      out[t].v[row] = dot;
    }
}

// The same of bytes, 0 to 255.
template <int Group, int T>
inline void byte_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  for (int t = 0; t < T; ++t)
    for (int row = 0; row < 16; ++row) {
      std::int32_t dot = 0;
      for (int k = 0; k < Group; ++k) dot += w[k / 4 * 64 + 4 * row + k % 4] * x[t * stride + k];
      out[t].v[row] = dot;
    }
}

// out[r] lane i = key i of 16 times query r; the queries lie one after the other.
template <int R>
inline void key_dots(const std::uint8_t* keys, int dim, const std::int8_t* queries, const std::int32_t*, I (&out)[R]) {
  for (int r = 0; r < R; ++r)
    for (int i = 0; i < 16; ++i) {
      std::int32_t dot = 0;
      for (int d = 0; d < dim; ++d) dot += (keys[d / 4 * 64 + 4 * i + d % 4] - 128) * queries[r * dim + d];
      out[r].v[i] = dot;
    }
}

// 14-bit weights of the positions of one attention block.
struct PositionWeights {
  std::int32_t v[256];

  void set(int position, I weights) {
    for (int i = 0; i < 16; ++i) v[position + i] = weights.v[i];
  }
};

// out[r], lane i = sum over positions of weight r times value i; `quads` = positions / 4.
template <int R>
inline void value_dots(const std::int8_t* values, int quads, int dim, const PositionWeights* weights,
                       I (&out)[R][kValueLanes / 16]) {
  for (int r = 0; r < R; ++r)
    for (int i = 0; i < 16; ++i) {
      std::int32_t dot = 0;
      for (int p = 0; p < 4 * quads; ++p) dot += weights[r].v[p] * values[p / 4 * 4 * dim + 4 * i + p % 4];
      out[r][0].v[i] = dot;
    }
}

// See kernels.h.
inline std::int64_t product_burst(int rounds) {
  std::int32_t acc[4] = {};
  for (int i = 0; i < rounds; ++i)
    for (int a = 0; a < 4; ++a) {
      acc[a] += 3 * (i & 15);
      asm volatile("" : "+r"(acc[a]));
    }
  return std::int64_t{4} * rounds;
}

}  // namespace
