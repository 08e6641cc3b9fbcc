// dots_scalar.h with 512-bit vpmaddubsw, for processors that have AVX-512 without VNNI. Its 16-bit sums of products of
// a nibble and a quant hold eight pairs (8 * 2 * 15 * 127 < 2^15) before they are widened; bytes are taken nibble by
// nibble, for products of whole ones would not fit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lanes_avx512.h"
#include "query_words.h"

namespace {

constexpr int kTokenTile = 8;
constexpr int kQueries = 6;
constexpr int kValueSpans = 4;

template <int R>
constexpr int kKeyTiles = 1;

inline __m512i splat_word(const void* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}
inline __m512i low_nibbles(__m512i a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
inline __m512i high_nibbles(__m512i a) { return low_nibbles(_mm512_srli_epi16(a, 4)); }

// Keeps a sum where it is: GCC would add the products up in another order, of more registers than there are.
inline __m512i kept(__m512i sum) {
  asm("" : "+v"(sum));
  return sum;
}
inline void add_products(__m512i& words, __m512i nibbles, __m512i quants) {
  words = kept(_mm512_add_epi16(words, _mm512_maddubs_epi16(nibbles, quants)));
}
inline void add_widened(__m512i& sum, __m512i words, short factor) {
  sum = _mm512_add_epi32(sum, _mm512_madd_epi16(words, _mm512_set1_epi16(factor)));
}

template <int Group, int T>
inline void nibble_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  for (int t = 0; t < T; ++t) out[t] = _mm512_setzero_si512();
  for (int quarter = 0; quarter < Group / 8; quarter += 4) {
    __m512i words[T];
    for (int t = 0; t < T; ++t) words[t] = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int p = quarter; p < quarter + 4; ++p) {
      const __m512i both = _mm512_loadu_si512(w + 64 * p);
      const __m512i low = low_nibbles(both);
      const __m512i high = high_nibbles(both);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        add_products(words[t], low, splat_word(x + t * stride + 8 * p));
        add_products(words[t], high, splat_word(x + t * stride + 8 * p + 4));
      }
    }
    for (int t = 0; t < T; ++t) add_widened(out[t], words[t], 1);
  }
}

// out[t] += products of `lines` times 64 bytes, four of each of 16 rows, and the quants of T tokens; lines <= 8.
template <int Lines, int T>
inline void add_byte_lines(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  static_assert(Lines <= 8);
  __m512i low_words[T];
  __m512i high_words[T];
  for (int t = 0; t < T; ++t) low_words[t] = high_words[t] = _mm512_setzero_si512();
#pragma GCC unroll 8
  for (int p = 0; p < Lines; ++p) {
    const __m512i both = _mm512_loadu_si512(w + 64 * p);
    const __m512i low = low_nibbles(both);
    const __m512i high = high_nibbles(both);
#pragma GCC unroll 8
    for (int t = 0; t < T; ++t) {
      const __m512i word = splat_word(x + t * stride + 4 * p);
      add_products(low_words[t], low, word);
      add_products(high_words[t], high, word);
    }
  }
  for (int t = 0; t < T; ++t) {
    add_widened(out[t], low_words[t], 1);
    add_widened(out[t], high_words[t], 16);
  }
}

template <int Group, int T>
inline void byte_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  for (int t = 0; t < T; ++t) out[t] = _mm512_setzero_si512();
  for (int k = 0; k < Group; k += 32) add_byte_lines<8, T>(w + 16 * k, x + k, stride, out);
}

// Keys are stored with 128 added: start from -128 times the sum of the query.
template <int R, int N>
inline void key_dots(const std::uint8_t* keys, int dim, const QueryValue (*queries)[256], const std::int32_t* sums,
                     I (&out)[N][R]) {
  static_assert(N == 1);
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r) out[0][r] = _mm512_set1_epi32(-128 * sums[r]);
  for (int d = 0; d < dim; d += 4) {
    const __m512i both = _mm512_loadu_si512(keys + 16 * d);
    const __m512i even = _mm512_and_si512(both, _mm512_set1_epi16(255));
    const __m512i odd = _mm512_srli_epi16(both, 8);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      out[0][r] = kept(_mm512_add_epi32(out[0][r], _mm512_madd_epi16(even, splat_word(queries[r] + d))));
      out[0][r] = kept(_mm512_add_epi32(out[0][r], _mm512_madd_epi16(odd, splat_word(queries[r] + d + 2))));
    }
  }
}

// A weight has 7 bits, so two products fit 16.
template <int R, int N>
inline void value_dots(const std::int8_t* values, int quads, int dim, const std::int8_t (*weights)[256],
                       I (&out)[R][N]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
    for (int n = 0; n < N; ++n) out[r][n] = _mm512_setzero_si512();
  for (int quad = 0; quad < quads; ++quad, values += 4 * dim) {
    __m512i v[N];
    for (int n = 0; n < N; ++n) v[n] = _mm512_loadu_si512(values + 64 * n);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const __m512i weight = splat_word(weights[r] + 4 * quad);
      for (int n = 0; n < N; ++n) add_widened(out[r][n], _mm512_maddubs_epi16(weight, v[n]), 1);
    }
  }
}

inline std::int64_t product_burst(int rounds) {
  __m512i acc[10];
#pragma GCC unroll 10
  for (__m512i& words : acc) words = _mm512_setzero_si512();
  __m512i nibbles = _mm512_set1_epi8(7);
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 10
    for (int a = 0; a < 10; ++a) {
      asm volatile("" : "+v"(nibbles));
      acc[a] = _mm512_add_epi16(acc[a], _mm512_maddubs_epi16(nibbles, nibbles));
      asm volatile("" : "+v"(acc[a]));
    }
  return std::int64_t{10 * 64} * rounds;
}

}  // namespace
