#include "dots_neon.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"

namespace {

// Quants of a group as USMMLA takes them, [2 tokens][8 columns]: out[c][p] is of tokens 2 p and 2 p + 1, columns 8 c to
// 8 c + 7. The last of an odd number of tokens is paired with itself.
template <int Group, int T, int Pairs>
inline void pair_tokens(const std::int8_t* x, std::ptrdiff_t stride, int8x16_t (&out)[Group / 8][Pairs]) {
  for (int p = 0; p < Pairs; ++p) {
    const std::int8_t* left = x + 2 * p * stride;
    const std::int8_t* right = 2 * p + 1 < T ? left + stride : left;
    for (int k = 0; k < Group; k += 16) {
      const int64x2_t a = vreinterpretq_s64_s8(vld1q_s8(left + k));
      const int64x2_t b = vreinterpretq_s64_s8(vld1q_s8(right + k));
      out[k / 8][p] = vreinterpretq_s8_s64(vzip1q_s64(a, b));
      out[k / 8 + 1][p] = vreinterpretq_s8_s64(vzip2q_s64(a, b));
    }
  }
}

// 8 columns of 4 rows: [row][4] of the first four columns, and of the others.
struct Columns {
  uint32x4_t first;
  uint32x4_t second;
};
template <int Group>
inline Columns columns_of(Nibbles<Group>, const std::uint8_t* w, int c, int quad) {
  const uint8x16_t both = vld1q_u8(w + 64 * c + 16 * quad);
  return {vreinterpretq_u32_u8(vandq_u8(both, vdupq_n_u8(15))), vreinterpretq_u32_u8(vshrq_n_u8(both, 4))};
}
template <int Group>
inline Columns columns_of(Octets<Group>, const std::uint8_t* w, int c, int quad) {
  const std::uint8_t* line = w + 128 * c + 16 * quad;
  return {vreinterpretq_u32_u8(vld1q_u8(line)), vreinterpretq_u32_u8(vld1q_u8(line + 64))};
}

// The dots of a layout, of two rows and two tokens at a time; those of one token as before.
template <class Layout>
struct Paired : Layout {
  template <int T>
  static void dots(const std::uint8_t* w, const std::int8_t* x, std::ptrdiff_t stride, I (&out)[T]) {
    if constexpr (T == 1) return Layout::template dots<T>(w, x, stride, out);
    constexpr int kRuns = Layout::kGroup / 8;
    constexpr int kPairs = (T + 1) / 2;
    int8x16_t tokens[kRuns][kPairs];
    pair_tokens<Layout::kGroup, T>(x, stride, tokens);
    // 8 rows at a time: as many sums as registers hold, which unrolled loops would spill.
#pragma GCC unroll 1
    for (int quad = 0; quad < 4; quad += 2) {
      int32x4_t sums[kPairs][4];  // [2 rows][2 tokens]
      for (int p = 0; p < kPairs; ++p)
        for (int i = 0; i < 4; ++i) sums[p][i] = vdupq_n_s32(0);
#pragma GCC unroll 1
      for (int c = 0; c < kRuns; ++c) {
        const Columns upper = columns_of(Layout(), w, c, quad);
        const Columns lower = columns_of(Layout(), w, c, quad + 1);
        const uint32x4_t rows[4] = {vzip1q_u32(upper.first, upper.second), vzip2q_u32(upper.first, upper.second),
                                    vzip1q_u32(lower.first, lower.second), vzip2q_u32(lower.first, lower.second)};
#pragma GCC unroll 4
        for (int p = 0; p < kPairs; ++p)
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i)
            sums[p][i] = vusmmlaq_s32(sums[p][i], vreinterpretq_u8_u32(rows[i]), tokens[c][p]);
      }
      for (int t = 0; t < T; ++t)
        for (int i = 0; i < 2; ++i) {
          const int32x4_t a = sums[t / 2][2 * i];
          const int32x4_t b = sums[t / 2][2 * i + 1];
          out[t].v[quad + i] = t % 2 ? vuzp2q_s32(a, b) : vuzp1q_s32(a, b);
        }
    }
  }
};

template <class Start, class Layout>
struct PairedTile : IntegerTile<Start, Paired<Layout>> {
  static constexpr int kTokens = 8;
};

template <class Start>
inline void paired_matmul(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                          float* out, std::ptrdiff_t stride) {
  const auto run = [&](auto tile) {
    matmul_tiles<decltype(tile)>(w, first, last, bias, x, tokens, out, stride);
  };
  if (w.bits == Bits::k16)
    matmul<Start>(w, first, last, bias, x, tokens, out, stride);
  else if (w.bits == Bits::k8 && w.group == 64)
    run(PairedTile<Start, Octets<64>>());
  else if (w.bits == Bits::k8)
    run(PairedTile<Start, Octets<32>>());
  else if (w.group == 64)
    run(PairedTile<Start, Nibbles<64>>());
  else
    run(PairedTile<Start, Nibbles<32>>());
}

inline std::int64_t paired_burst(int rounds) {
  return burst(rounds, 32, [](int32x4_t sums, int8x16_t bytes) {
    return vusmmlaq_s32(sums, vreinterpretq_u8_s8(bytes), bytes);
  });
}

}  // namespace

#define FLASH_TABLE kNeonI8mmKernels
#define FLASH_ISA_NAME "neon-i8mm"
#define FLASH_MATMUL paired_matmul
#define FLASH_BURST paired_burst
#include "table.inl"
