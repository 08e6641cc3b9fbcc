// The 512-bit register operations that dots_vnni.h asks for.
#pragma once

#include <cstring>

#include "lanes_avx512.h"

namespace {

using Bytes = __m512i;
constexpr int kParts = 1;
constexpr int kTokenTile = 12;
constexpr int kQueries = 6;
constexpr int kValueSpans = 4;

inline Bytes& part(I& a, int) { return a; }
inline Bytes zero_bytes() { return _mm512_setzero_si512(); }
inline Bytes load_bytes(const void* p) { return _mm512_loadu_si512(p); }
inline Bytes splat_word(const void* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm512_set1_epi32(word);
}

// In assembly because GCC 12 copies the accumulator and does not fold the broadcast into the instruction.
inline Bytes dot(Bytes acc, Bytes unsigned_bytes, Bytes signed_bytes) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(unsigned_bytes), "v"(signed_bytes));
  return acc;
}
using Word = const std::int8_t*;
inline Word word_at(const std::int8_t* p) { return p; }
inline Bytes dot(Bytes acc, Bytes unsigned_bytes, Word signed_word) {
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(acc)
      : "v"(unsigned_bytes), "m"(*reinterpret_cast<const std::int8_t (*)[4]>(signed_word)));
  return acc;
}
inline Bytes add_words(Bytes a, Bytes b) { return _mm512_add_epi32(a, b); }
inline Bytes low_nibbles(Bytes a) { return _mm512_and_si512(a, _mm512_set1_epi8(15)); }
inline Bytes high_nibbles(Bytes a) { return low_nibbles(_mm512_srli_epi16(a, 4)); }

}  // namespace
