// dots_scalar.h with SDOT (AArch64's dotprod): four signed bytes at a time, those of x or a query taken by lane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lanes_neon.h"
#include "query_bytes.h"

namespace {

constexpr int kTokenTile = 4;
constexpr int kQueries = 4;
constexpr int kValueSpans = 1;

template <int R>
constexpr int kKeyTiles = 1;

template <int T>
inline void clear(I (&out)[T]) {
  for (int t = 0; t < T; ++t)
    for (int i = 0; i < 4; ++i) out[t].v[i] = vdupq_n_s32(0);
}

// acc += bytes of 16 rows times the word `Lane` of x.
template <int Lane>
inline void add_dots(I& acc, const int8x16_t (&bytes)[4], int8x16_t x) {
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) acc.v[i] = vdotq_laneq_s32(acc.v[i], bytes[i], x, Lane);
}

// Nibbles as they are, 0 to 15.
template <int Lane, int T>
inline void add_nibble_line(I (&out)[T], const std::uint8_t* line, const int8x16_t (&x)[T]) {
  int8x16_t low[4];
  int8x16_t high[4];
  for (int i = 0; i < 4; ++i) {
    const uint8x16_t both = vld1q_u8(line + 16 * i);
    low[i] = vreinterpretq_s8_u8(vandq_u8(both, vdupq_n_u8(15)));
    high[i] = vreinterpretq_s8_u8(vshrq_n_u8(both, 4));
  }
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) add_dots<Lane>(out[t], low, x[t]);
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) add_dots<Lane + 1>(out[t], high, x[t]);
}

template <int Group, int T>
inline void nibble_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  clear(out);
  for (int k = 0; k < Group; k += 16, w += 128) {
    int8x16_t quants[T];
    for (int t = 0; t < T; ++t) quants[t] = vld1q_s8(x + t * stride + k);
    add_nibble_line<0>(out, w, quants);
    add_nibble_line<2>(out, w + 64, quants);
  }
}

// Bytes 0 to 255 as signed ones: 128 is taken off here, and 128 times the sum of x added in the end.
inline void load_signed(const std::uint8_t* line, int8x16_t (&out)[4]) {
  for (int i = 0; i < 4; ++i) out[i] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(line + 16 * i), vdupq_n_u8(128)));
}

template <int Lane, int T>
inline void add_byte_line(I (&out)[T], const std::uint8_t* line, const int8x16_t (&x)[T]) {
  int8x16_t bytes[4];
  load_signed(line, bytes);
#pragma GCC unroll 4
  for (int t = 0; t < T; ++t) add_dots<Lane>(out[t], bytes, x[t]);
}

template <int Group, int T>
inline void byte_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  clear(out);
  int32x4_t totals[T];
  for (int t = 0; t < T; ++t) totals[t] = vdupq_n_s32(0);
  for (int k = 0; k < Group; k += 16, w += 256) {
    int8x16_t quants[T];
    for (int t = 0; t < T; ++t) {
      quants[t] = vld1q_s8(x + t * stride + k);
      totals[t] = vdotq_s32(totals[t], quants[t], vdupq_n_s8(1));
    }
    add_byte_line<0>(out, w, quants);
    add_byte_line<1>(out, w + 64, quants);
    add_byte_line<2>(out, w + 128, quants);
    add_byte_line<3>(out, w + 192, quants);
  }
  for (int t = 0; t < T; ++t) {
    const int32x4_t offset = vdupq_n_s32(128 * vaddvq_s32(totals[t]));
    for (int i = 0; i < 4; ++i) out[t].v[i] = vaddq_s32(out[t].v[i], offset);
  }
}

template <int R, int N>
inline void key_dots(const std::uint8_t* keys, int dim, const QueryValue (*queries)[256], const std::int32_t*,
                     I (&tiles)[N][R]) {
  static_assert(N == 1);
  I(&out)[R] = tiles[0];
  clear(out);
  for (int d = 0; d < dim; d += 16, keys += 256) {
    int8x16_t words[R];
    for (int r = 0; r < R; ++r) words[r] = vld1q_s8(queries[r] + d);
    add_byte_line<0>(out, keys, words);
    add_byte_line<1>(out, keys + 64, words);
    add_byte_line<2>(out, keys + 128, words);
    add_byte_line<3>(out, keys + 192, words);
  }
}

inline int8x16_t splat_word(const std::int8_t* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return vreinterpretq_s8_s32(vdupq_n_s32(word));
}

template <int R, int N>
inline void value_dots(const std::int8_t* values, int quads, int dim, const std::int8_t (*weights)[256],
                       I (&out)[R][N]) {
  static_assert(N == 1);
  for (int r = 0; r < R; ++r) clear(out[r]);
  for (int quad = 0; quad < quads; ++quad, values += 4 * dim) {
    int8x16_t v[4];
    for (int i = 0; i < 4; ++i) v[i] = vld1q_s8(values + 16 * i);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) add_dots<0>(out[r][0], v, splat_word(weights[r] + 4 * quad));
  }
}

// Multiplies and adds as fast as the processor does: multiply(sums, bytes) makes so many `products`.
template <class Multiply>
inline std::int64_t burst(int rounds, int products, const Multiply& multiply) {
  int32x4_t acc[16];
#pragma GCC unroll 16
  for (int32x4_t& sums : acc) sums = vdupq_n_s32(0);
  int8x16_t bytes = vdupq_n_s8(3);
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 16
    for (int a = 0; a < 16; ++a) {
      asm volatile("" : "+w"(bytes));
      acc[a] = multiply(acc[a], bytes);
      asm volatile("" : "+w"(acc[a]));
    }
  return std::int64_t{16} * products * rounds;
}

inline std::int64_t product_burst(int rounds) {
  return burst(rounds, 16, [](int32x4_t sums, int8x16_t bytes) { return vdotq_s32(sums, bytes, bytes); });
}

}  // namespace
