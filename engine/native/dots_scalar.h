// Exact integer products, in plain C++: the definition that the other dots_*.h must equal.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lanes_scalar.h"
#include "query_bytes.h"

namespace {

constexpr int kTokenTile = 4;
constexpr int kQueries = 4;     // before a block together, at most
constexpr int kValueSpans = 1;  // times 16 values that value_dots computes at a time, at most

// Times 16 keys that key_dots takes together for each of R queries.
template <int R>
constexpr int kKeyTiles = 1;

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

// out[n][r] lane i = key 16 n + i times query r, as arrange_query left it; its values have the sum sums[r].
template <int R, int N>
inline void key_dots(const std::uint8_t* keys, int dim, const QueryValue (*queries)[256], const std::int32_t*,
                     I (&out)[N][R]) {
  for (int n = 0; n < N; ++n, keys += 16 * dim)
    for (int r = 0; r < R; ++r)
      for (int i = 0; i < 16; ++i) {
        std::int32_t dot = 0;
        for (int d = 0; d < dim; ++d) dot += (keys[d / 4 * 64 + 4 * i + d % 4] - 128) * queries[r][d];
        out[n][r].v[i] = dot;
      }
}

// out[r][n], lane i = sum over positions of weight r (0 to 127) times value 16 n + i; `quads` = positions / 4.
template <int R, int N>
inline void value_dots(const std::int8_t* values, int quads, int dim, const std::int8_t (*weights)[256],
                       I (&out)[R][N]) {
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n)
      for (int i = 0; i < 16; ++i) {
        std::int32_t dot = 0;
        for (int p = 0; p < 4 * quads; ++p)
          dot += weights[r][p] * values[p / 4 * 4 * dim + 4 * (16 * n + i) + p % 4];
        out[r][n].v[i] = dot;
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
