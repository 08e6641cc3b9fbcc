// AMX tile instructions; with FLASH_EMULATE_TILES, the same in plain C++, so that the code around them can be tested
// on machines without AMX (semantics: Intel SDM, volume 2, TDPBSUD).
#pragma once

#include <immintrin.h>

#if defined(FLASH_EMULATE_TILES)

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {

struct Tile {
  int rows = 0;
  int row_bytes = 0;
  std::uint8_t data[16][64] = {};
};
inline thread_local Tile emulated_tiles[8];

inline void emulated_configure(const void* operand) {
  const auto* bytes = static_cast<const std::uint8_t*>(operand);
  for (int i = 0; i < 8; ++i) {
    emulated_tiles[i].row_bytes = bytes[16 + 2 * i];
    emulated_tiles[i].rows = bytes[48 + i];
  }
}
inline void emulated_zero(Tile& tile) { std::memset(tile.data, 0, sizeof tile.data); }
inline void emulated_load(Tile& tile, const void* base, std::ptrdiff_t stride) {
  emulated_zero(tile);
  for (int r = 0; r < tile.rows; ++r)
    std::memcpy(tile.data[r], static_cast<const std::uint8_t*>(base) + r * stride, tile.row_bytes);
}
inline void emulated_store(const Tile& tile, void* base, std::ptrdiff_t stride) {
  for (int r = 0; r < tile.rows; ++r)
    std::memcpy(static_cast<std::uint8_t*>(base) + r * stride, tile.data[r], tile.row_bytes);
}
inline void emulated_dot(Tile& sums, const Tile& a, const Tile& b) {
  for (int m = 0; m < sums.rows; ++m)
    for (int n = 0; n < sums.row_bytes / 4; ++n) {
      std::int32_t sum;
      std::memcpy(&sum, sums.data[m] + 4 * n, 4);
      for (int k = 0; k < a.row_bytes; ++k)
        sum += static_cast<std::int8_t>(a.data[m][k]) * b.data[k / 4][4 * n + k % 4];
      std::memcpy(sums.data[m] + 4 * n, &sum, 4);
    }
}

}  // namespace

#define TILE_CONFIGURE(operand) emulated_configure(operand)
#define TILE_RELEASE() (void)0
#define TILE_ZERO(tile) emulated_zero(emulated_tiles[tile])
#define TILE_LOAD(tile, base, stride) emulated_load(emulated_tiles[tile], base, stride)
#define TILE_STORE(tile, base, stride) emulated_store(emulated_tiles[tile], base, stride)
#define TILE_DOT(sums, a, b) emulated_dot(emulated_tiles[sums], emulated_tiles[a], emulated_tiles[b])

#else

#define TILE_CONFIGURE(operand) _tile_loadconfig(operand)
#define TILE_RELEASE() _tile_release()
#define TILE_ZERO(tile) _tile_zero(tile)
#define TILE_LOAD(tile, base, stride) _tile_loadd(tile, base, stride)
#define TILE_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define TILE_DOT(sums, a, b) _tile_dpbsud(sums, a, b)

#endif
