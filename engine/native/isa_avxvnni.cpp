#include "lanes_avx2.h"

#include <cstring>

namespace {

using Bytes = __m256i;
constexpr int kParts = 2;
constexpr int kTokenTile = 4;
constexpr int kQueries = 4;
constexpr int kValueSpans = 1;

inline Bytes& part(I& a, int p) { return p ? a.hi : a.lo; }
inline Bytes zero_bytes() { return _mm256_setzero_si256(); }
inline Bytes load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
inline Bytes splat_word(const void* p) {
  std::int32_t word;
  std::memcpy(&word, p, sizeof word);
  return _mm256_set1_epi32(word);
}
inline Bytes dot(Bytes acc, Bytes unsigned_bytes, Bytes signed_bytes) {
  return _mm256_dpbusd_avx_epi32(acc, unsigned_bytes, signed_bytes);
}
using Word = Bytes;
inline Word word_at(const std::int8_t* p) { return splat_word(p); }
inline Bytes add_words(Bytes a, Bytes b) { return _mm256_add_epi32(a, b); }
inline Bytes low_nibbles(Bytes a) { return _mm256_and_si256(a, _mm256_set1_epi8(15)); }
inline Bytes high_nibbles(Bytes a) { return low_nibbles(_mm256_srli_epi16(a, 4)); }

}  // namespace

#include "dots_vnni.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

#define FLASH_TABLE kAvxVnniKernels
#define FLASH_ISA_NAME "avxvnni"
#define FLASH_MATMUL matmul
#define FLASH_BURST product_burst
#include "table.inl"
