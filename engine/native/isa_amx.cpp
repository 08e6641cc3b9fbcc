#include "bytes_avx512.h"
#include "dots_vnni.h"
#include "kernels.inl"
#include "attention.inl"
#include "feed_forward.inl"
#include "tiles.h"

namespace {

constexpr int kTileTokens = 16;
constexpr int kFewTokens = 5;        // below, vector instructions are faster
constexpr int kMostColumns = 16384;  // of a matrix that the tiles can take

// Operand of ldtilecfg (Intel SDM, volume 1, chapter 18).
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Tiles 0, 1: sums [tokens][rows of the matrix]; 2, 3: quants [tokens][group]; 4, 5: weights [group / 4][rows][4].
template <int Group>
inline void configure_tiles() {
  TileConfig config;
  for (int i = 0; i < 2; ++i) {
    config.row_bytes[i] = 64;
    config.rows[i] = kTileTokens;
    config.row_bytes[2 + i] = Group;
    config.rows[2 + i] = kTileTokens;
    config.row_bytes[4 + i] = 64;
    config.rows[4 + i] = Group / 4;
  }
  TILE_CONFIGURE(&config);
}

// A block of 16 rows, one byte a value: [k / 4][16 rows][4].
template <int Group>
inline void unpack_block(const PackedMatrix& w, const std::uint8_t* block, std::uint8_t* out) {
  for (int g = 0; g < w.k / Group; ++g, block += w.group_bytes())
    for (int i = 0; i < Group / 8; ++i, out += 128) {
      const Bytes both = load_bytes(block + 64 * i);
      _mm512_store_si512(out, low_nibbles(both));
      _mm512_store_si512(out + 64, high_nibbles(both));
    }
  asm volatile("" ::: "memory");  // GCC 12 does not know that a tile load reads memory
}

// The bytes of a block's groups, `step` apart.
struct TileOperand {
  const std::uint8_t* bytes;
  std::ptrdiff_t step;
};

inline void add_group(const std::int32_t (&sums)[kTileTokens][16], const std::uint8_t* scales, int g, Activations x,
                      F (&acc)[kTileTokens]) {
  const F scale = load_half(scales);
  const F offset = load_half(scales + 32);
#pragma GCC unroll 16
  for (int t = 0; t < kTileTokens; ++t) {
    const int at = t * x.groups() + g;
    acc[t] = fma(splat(x.sums[at]), offset, acc[t]);
    acc[t] = fma(mul(splat(x.scales[at]), to_float(_mm512_load_si512(sums[t]))), scale, acc[t]);
  }
}

// Up to 16 tokens; what is computed for the rows of x behind them is dropped.
template <class Start, int Group>
inline void tile_tokens(const PackedMatrix& w, const std::uint8_t* block, TileOperand operand, const float* bias,
                        Activations x, int tokens, float* out, std::ptrdiff_t stride) {
  alignas(64) std::int32_t sums[2][kTileTokens][16];
  F acc[kTileTokens];
  for (int t = 0; t < kTileTokens; ++t) acc[t] = t < tokens ? Start::start(bias, out + t * stride) : splat(0.0f);
  const std::uint8_t* scales = block + w.value_bytes();
  const int groups = w.k / Group;
  int g = 0;
  for (; g + 2 <= groups; g += 2) {
    TILE_ZERO(0);
    TILE_LOAD(2, x.quants + g * Group, x.k);
    TILE_LOAD(4, operand.bytes + g * operand.step, 64);
    TILE_DOT(0, 2, 4);
    TILE_STORE(0, sums[0], 64);
    TILE_ZERO(1);
    TILE_LOAD(3, x.quants + (g + 1) * Group, x.k);
    TILE_LOAD(5, operand.bytes + (g + 1) * operand.step, 64);
    TILE_DOT(1, 3, 5);
    TILE_STORE(1, sums[1], 64);
    add_group(sums[0], scales + g * w.group_bytes(), g, x, acc);
    add_group(sums[1], scales + (g + 1) * w.group_bytes(), g + 1, x, acc);
  }
  if (g < groups) {
    TILE_ZERO(0);
    TILE_LOAD(2, x.quants + g * Group, x.k);
    TILE_LOAD(4, operand.bytes + g * operand.step, 64);
    TILE_DOT(0, 2, 4);
    TILE_STORE(0, sums[0], 64);
    add_group(sums[0], scales + g * w.group_bytes(), g, x, acc);
  }
  for (int t = 0; t < tokens; ++t) store(out + t * stride, acc[t]);
}

// Bytes are an operand as they lie; nibbles are unpacked first.
template <class Start, int Group>
inline void tile_groups(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                        float* out, std::ptrdiff_t stride) {
  alignas(64) static thread_local std::uint8_t unpacked[kMostColumns * 16];
  configure_tiles<Group>();
  for (int b = first; b < last; ++b) {
    TileOperand operand{w.block(b), w.group_bytes()};
    if (w.bits == Bits::k4) {
      unpack_block<Group>(w, w.block(b), unpacked);
      operand = {unpacked, Group * 16};
    }
    for (int t = 0; t < tokens; t += kTileTokens) {
      const int count = tokens - t < kTileTokens ? tokens - t : kTileTokens;
      tile_tokens<Start, Group>(w, w.block(b), operand, bias + 16 * b, x.from(t), count, out + 16 * b + t * stride,
                                stride);
    }
  }
  TILE_RELEASE();
}

template <class Start>
inline void tile_matmul(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                        float* out, std::ptrdiff_t stride) {
  if (tokens < kFewTokens || w.k > kMostColumns || w.bits == Bits::k16)
    matmul<Start>(w, first, last, bias, x, tokens, out, stride);
  else if (w.group == 64)
    tile_groups<Start, 64>(w, first, last, bias, x, tokens, out, stride);
  else
    tile_groups<Start, 32>(w, first, last, bias, x, tokens, out, stride);
}

// With the operands in tiles already.
inline std::int64_t tile_burst(int rounds) {
  configure_tiles<64>();
  for (int i = 0; i < rounds; ++i) {
    TILE_DOT(0, 2, 4);
    TILE_DOT(1, 3, 5);
  }
  TILE_RELEASE();
  return std::int64_t{2 * 16 * 16 * 64} * rounds;
}

}  // namespace

#define FLASH_TABLE kAmxKernels
#define FLASH_ISA_NAME "amx"
#define FLASH_MATMUL tile_matmul
#define FLASH_BURST tile_burst
#include "table.inl"
