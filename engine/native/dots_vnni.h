// dots_scalar.h with vpdpbusd, for any register width: the including file defines, beside its lanes, `Bytes` (a
// register), kParts (registers for 16 lanes), part, zero_bytes, load_bytes, splat_word, `Word` (four bytes for every
// lane: a register or a memory operand), word_at, dot(acc, unsigned, signed), low_nibbles, high_nibbles, add_words,
// kTokenTile, kQueries and kValueSpans.
#pragma once

#include <cstddef>
#include <cstdint>

#include "query_bytes.h"

namespace {

constexpr int kPartBytes = 64 / kParts;

// Few accumulators are doubled: the instruction takes five cycles, and two start in each.
template <int Group, int T>
inline void nibble_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  constexpr int kHigh = T * kParts <= 6 ? 1 : 0;
  Bytes acc[T][kParts][kHigh + 1];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < kParts; ++p)
      for (Bytes& chain : acc[t][p]) chain = zero_bytes();
#pragma GCC unroll 8
  for (int i = 0; i < Group / 8; ++i) {
    Bytes low[kParts];
    Bytes high[kParts];
    for (int p = 0; p < kParts; ++p) {
      const Bytes both = load_bytes(w + 64 * i + kPartBytes * p);
      low[p] = low_nibbles(both);
      high[p] = high_nibbles(both);
    }
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      const Word word = word_at(x + t * stride + 8 * i);
      for (int p = 0; p < kParts; ++p) acc[t][p][0] = dot(acc[t][p][0], low[p], word);
    }
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      const Word word = word_at(x + t * stride + 8 * i + 4);
      for (int p = 0; p < kParts; ++p) acc[t][p][kHigh] = dot(acc[t][p][kHigh], high[p], word);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < kParts; ++p) part(out[t], p) = kHigh ? add_words(acc[t][p][0], acc[t][p][1]) : acc[t][p][0];
}

template <int Group, int T>
inline void byte_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  constexpr int kChains = T * kParts <= 6 ? 2 : 1;
  Bytes acc[T][kParts][kChains];
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < kParts; ++p)
      for (Bytes& chain : acc[t][p]) chain = zero_bytes();
#pragma GCC unroll 16
  for (int i = 0; i < Group / 4; ++i) {
    Bytes bytes[kParts];
    for (int p = 0; p < kParts; ++p) bytes[p] = load_bytes(w + 64 * i + kPartBytes * p);
#pragma GCC unroll 16
    for (int t = 0; t < T; ++t) {
      const Word word = word_at(x + t * stride + 4 * i);
      for (int p = 0; p < kParts; ++p) acc[t][p][i % kChains] = dot(acc[t][p][i % kChains], bytes[p], word);
    }
  }
#pragma GCC unroll 16
  for (int t = 0; t < T; ++t)
    for (int p = 0; p < kParts; ++p)
      part(out[t], p) = kChains == 2 ? add_words(acc[t][p][0], acc[t][p][kChains - 1]) : acc[t][p][0];
}

// As many as keep both multipliers busy.
template <int R>
constexpr int kKeyTiles = R * kParts >= 8 ? 1 : R * kParts >= 3 ? 8 / (R * kParts) : 4;

// Keys are stored with 128 added: start from -128 times the sum of the query.
template <int R, int N>
inline void key_dots(const std::uint8_t* keys, int dim, const QueryValue (*queries)[256], const std::int32_t* sums,
                     I (&out)[N][R]) {
  Bytes acc[N][R][kParts];
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < kParts; ++p) {
        const std::int32_t start = -128 * sums[r];
        acc[n][r][p] = splat_word(&start);
      }
#pragma GCC unroll 2
  for (int d = 0; d < dim; d += 4)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n)
      for (int p = 0; p < kParts; ++p) {
        const Bytes k = load_bytes(keys + 16 * (n * dim + d) + kPartBytes * p);
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r) acc[n][r][p] = dot(acc[n][r][p], k, word_at(queries[r] + d));
      }
#pragma GCC unroll 8
  for (int n = 0; n < N; ++n)
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
      for (int p = 0; p < kParts; ++p) part(out[n][r], p) = acc[n][r][p];
}

template <int R, int N>
inline void value_dots(const std::int8_t* values, int quads, int dim, const std::int8_t (*weights)[256],
                       I (&out)[R][N]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n)
      for (int p = 0; p < kParts; ++p) part(out[r][n], p) = zero_bytes();
  for (int quad = 0; quad < quads; ++quad, values += 4 * dim) {
    Bytes v[N][kParts];
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n)
      for (int p = 0; p < kParts; ++p) v[n][p] = load_bytes(values + 64 * n + kPartBytes * p);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Bytes weight = splat_word(weights[r] + 4 * quad);
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n)
        for (int p = 0; p < kParts; ++p) part(out[r][n], p) = dot(part(out[r][n], p), weight, v[n][p]);
    }
  }
}

inline std::int64_t product_burst(int rounds) {
  Bytes acc[12];
#pragma GCC unroll 12
  for (int a = 0; a < 12; ++a) acc[a] = zero_bytes();
  Bytes bytes = zero_bytes();
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 12
    for (int a = 0; a < 12; ++a) {
      asm volatile("" : "+v"(bytes));
      acc[a] = dot(acc[a], bytes, bytes);
      asm volatile("" : "+v"(acc[a]));
    }
  return std::int64_t{12 * 64 / kParts} * rounds;
}

}  // namespace
