// dots_scalar.h with AVX2: vpmaddubsw. Its 16-bit sums of products of a nibble and a quant hold eight pairs
// (8 * 2 * 15 * 127 < 2^15) before they are widened.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lanes_avx2.h"
#include "query_words.h"

namespace {

constexpr int kTokenTile = 4;
constexpr int kQueries = 3;
constexpr int kValueSpans = 1;

template <int R>
constexpr int kKeyTiles = 1;

inline __m256i load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline __m256i splat_word(const void* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}

// Keeps a sum where it is: GCC would add the products up in another order, of more registers than there are.
inline __m256i kept(__m256i sum) {
  asm("" : "+x"(sum));
  return sum;
}

template <int Group, int T>
inline void nibble_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i ones = _mm256_set1_epi16(1);
  for (int t = 0; t < T; ++t) out[t].lo = out[t].hi = _mm256_setzero_si256();
  for (int quarter = 0; quarter < Group / 8; quarter += 4) {
    __m256i lo_words[T];
    __m256i hi_words[T];
    for (int t = 0; t < T; ++t) lo_words[t] = hi_words[t] = _mm256_setzero_si256();
    const auto add_words = [&](__m256i lo, __m256i hi, const std::int8_t* at) {
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m256i word = splat_word(at + t * stride);
        lo_words[t] = kept(_mm256_add_epi16(lo_words[t], _mm256_maddubs_epi16(lo, word)));
        hi_words[t] = kept(_mm256_add_epi16(hi_words[t], _mm256_maddubs_epi16(hi, word)));
      }
    };
#pragma GCC unroll 4
    for (int p = quarter; p < quarter + 4; ++p) {
      const __m256i lo = load_bytes(w + 64 * p);
      const __m256i hi = load_bytes(w + 64 * p + 32);
      add_words(_mm256_and_si256(lo, nibble), _mm256_and_si256(hi, nibble), x + 8 * p);
      add_words(_mm256_and_si256(_mm256_srli_epi16(lo, 4), nibble), _mm256_and_si256(_mm256_srli_epi16(hi, 4), nibble),
                x + 8 * p + 4);
    }
    for (int t = 0; t < T; ++t) {
      out[t].lo = _mm256_add_epi32(out[t].lo, _mm256_madd_epi16(lo_words[t], ones));
      out[t].hi = _mm256_add_epi32(out[t].hi, _mm256_madd_epi16(hi_words[t], ones));
    }
  }
}

// Eight rows. The two nibbles of a byte one by one: products of whole bytes would not fit 16 bits.
template <int Group, int T>
inline void byte_dots_half(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, __m256i (&out)[T]) {
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i ones = _mm256_set1_epi16(1);
  const __m256i sixteens = _mm256_set1_epi16(16);
  for (int t = 0; t < T; ++t) out[t] = _mm256_setzero_si256();
  for (int part = 0; part < Group / 4; part += 8) {
    __m256i low_words[T];
    __m256i high_words[T];
    for (int t = 0; t < T; ++t) low_words[t] = high_words[t] = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (int p = part; p < part + 8; ++p) {
      const __m256i both = load_bytes(w + 64 * p);
      const __m256i low = _mm256_and_si256(both, nibble);
      const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), nibble);
#pragma GCC unroll 8
      for (int t = 0; t < T; ++t) {
        const __m256i word = splat_word(x + t * stride + 4 * p);
        low_words[t] = kept(_mm256_add_epi16(low_words[t], _mm256_maddubs_epi16(low, word)));
        high_words[t] = kept(_mm256_add_epi16(high_words[t], _mm256_maddubs_epi16(high, word)));
      }
    }
    for (int t = 0; t < T; ++t) {
      out[t] = _mm256_add_epi32(out[t], _mm256_madd_epi16(low_words[t], ones));
      out[t] = _mm256_add_epi32(out[t], _mm256_madd_epi16(high_words[t], sixteens));
    }
  }
}

template <int Group, int T>
inline void byte_dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
  __m256i half[T];
  byte_dots_half<Group, T>(w, x, stride, half);
  for (int t = 0; t < T; ++t) out[t].lo = half[t];
  byte_dots_half<Group, T>(w + 32, x, stride, half);
  for (int t = 0; t < T; ++t) out[t].hi = half[t];
}

// Keys are stored with 128 added: start from -128 times the sum of the query.
template <int R, int N>
inline void key_dots(const std::uint8_t* keys, int dim, const QueryValue (*queries)[256], const std::int32_t* sums,
                     I (&out)[N][R]) {
  static_assert(N == 1);
  const __m256i even = _mm256_set1_epi16(255);
  __m256i acc[R][2];
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_set1_epi32(-128 * sums[r]);
  const auto add_words = [&](__m256i lo, __m256i hi, int d) {
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m256i query = splat_word(queries[r] + d);
      acc[r][0] = kept(_mm256_add_epi32(acc[r][0], _mm256_madd_epi16(lo, query)));
      acc[r][1] = kept(_mm256_add_epi32(acc[r][1], _mm256_madd_epi16(hi, query)));
    }
  };
  for (int d = 0; d < dim; d += 4) {
    const __m256i lo = load_bytes(keys + 16 * d);
    const __m256i hi = load_bytes(keys + 16 * d + 32);
    add_words(_mm256_and_si256(lo, even), _mm256_and_si256(hi, even), d);
    add_words(_mm256_srli_epi16(lo, 8), _mm256_srli_epi16(hi, 8), d + 2);
  }
#pragma GCC unroll 4
  for (int r = 0; r < R; ++r) out[0][r] = {acc[r][0], acc[r][1]};
}

// A weight has 7 bits, so two products fit 16.
template <int R, int N>
inline void value_dots(const std::int8_t* values, int quads, int dim, const std::int8_t (*weights)[256],
                       I (&out)[R][N]) {
  static_assert(N == 1);
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i acc[R][2];
  for (int r = 0; r < R; ++r) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (int quad = 0; quad < quads; ++quad, values += 4 * dim) {
    const __m256i lo = load_bytes(values);
    const __m256i hi = load_bytes(values + 32);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      const __m256i weight = splat_word(weights[r] + 4 * quad);
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(_mm256_maddubs_epi16(weight, lo), ones));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(_mm256_maddubs_epi16(weight, hi), ones));
    }
  }
  for (int r = 0; r < R; ++r) out[r][0] = {acc[r][0], acc[r][1]};
}

inline std::int64_t product_burst(int rounds) {
  __m256i acc[10] = {};
  __m256i nibbles = _mm256_set1_epi8(7);
  for (int i = 0; i < rounds; ++i)
#pragma GCC unroll 10
    for (int a = 0; a < 10; ++a) {
      asm volatile("" : "+x"(nibbles));
      acc[a] = _mm256_add_epi16(acc[a], _mm256_maddubs_epi16(nibbles, nibbles));
      asm volatile("" : "+x"(acc[a]));
    }
  return std::int64_t{10 * 32} * rounds;
}

}  // namespace
