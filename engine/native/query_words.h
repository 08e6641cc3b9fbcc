// Queries for vpmaddwd: keys are taken as 16-bit words of the even and of the odd bytes.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace {

using QueryValue = std::int16_t;

// Of each four values, those of the even bytes first.
inline void arrange_query(const std::int8_t* quants, int dim, QueryValue* out) {
  for (int d = 0; d < dim; d += 16) {
    const __m256i words = _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(quants + d)));
    const __m256i sorted = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(words, 0xd8), 0xd8);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + d), sorted);
  }
}

}  // namespace
