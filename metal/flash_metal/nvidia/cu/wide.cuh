// The products of C times eight tokens, whose images lie one after another in memory. Each column gets its sums in
// the order that each_tile and qkv.cu have: SPLIT shares of K, each from nothing, then added up. Of a block's WARPS
// warps, as many as ROWS have R tiles of 16 rows each to themselves, and others take other shares of the same tiles:
// few rows a block, where there are few in all; many, which read the same images, where not.
template <typename P, int WARPS, int ROWS, int R, int C, typename Rows, typename Done>
__device__ inline void wide_tiles(const P& product, const uint4* images, float4* scratch, int tiles, Rows rows,
                                  Done done) {
  constexpr int AT_ONCE = WARPS / ROWS;
  constexpr bool ALONE = AT_ONCE == 1;  // a warp adds its shares up itself
  const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4, t = lane % 4;
  const int first = (int(blockIdx.x) * ROWS + warp / AT_ONCE) * R;
  float totals[ALONE ? R : 1][ALONE ? C : 1][4];
  earlier();
  for (int share = warp % AT_ONCE; share < P::SPLIT; share += AT_ONCE) {
    float sums[R][C][4] = {};
    typename P::Rows from[R];
    typename P::Slice slices[2][R];
#pragma unroll
    for (int r = 0; r < R; r++) {
      const int tile = min(first + r, tiles - 1);
      from[r] = product.at(rows(tile, g), rows(tile, g + 8), share);
      product.load(slices[0][r], from[r], share, 0);
    }
    auto step = [&](int i, const typename P::Slice* now, typename P::Slice* next) {
      if (i + 1 < P::STEPS_EACH) {
#pragma unroll
        for (int r = 0; r < R; r++) product.load(next[r], from[r], share, i + 1);
      }
      P::each_group(share, i, [&](int group, int u) {
        typename P::Operands w[R];
#pragma unroll
        for (int r = 0; r < R; r++) w[r] = P::operands(now[r], u);
#pragma unroll
        for (int c = 0; c < C; c++) {
          const uint4* x = images + c * P::IMAGE;
          uint4 v[P::UNITS];
#pragma unroll
          for (int j = 0; j < P::UNITS; j++) v[j] = x[((group * P::UNITS + j) * 8 + g) * 4 + t];
          const float2 all = *(const float2*)((const float*)(x + P::X) + group * 8 + 2 * t);
#pragma unroll
          for (int r = 0; r < R; r++) P::add(w[r], v, all, sums[r][c]);
        }
      });
    };
#pragma unroll 1
    for (int i = 0; i < P::STEPS_EACH; i += 2) {
      step(i, slices[0], slices[1]);
      if (i + 1 < P::STEPS_EACH) step(i + 1, slices[1], slices[0]);
    }
#pragma unroll
    for (int r = 0; r < R; r++) {
#pragma unroll
      for (int c = 0; c < C; c++) {
        const float* s = sums[r][c];
        if constexpr (ALONE) {
#pragma unroll
          for (int i = 0; i < 4; i++) totals[r][c][i] = share ? totals[r][c][i] + s[i] : s[i];
        } else {
          scratch[(((warp / AT_ONCE * P::SPLIT + share) * R + r) * C + c) * 32 + lane] =
              make_float4(s[0], s[1], s[2], s[3]);
        }
      }
    }
  }
  if constexpr (ALONE) {
#pragma unroll
    for (int r = 0; r < R; r++) {
#pragma unroll
      for (int c = 0; c < C; c++) {
        if (first + r < tiles) done(first + r, c, totals[r][c]);
      }
    }
    return;
  }
  __syncthreads();
  for (int one = warp; one < ROWS * R * C; one += WARPS) {
    const int from = one / (R * C), r = one / C % R, c = one % C;
    const int tile = (int(blockIdx.x) * ROWS + from) * R + r;
    if (tile >= tiles) continue;
    float sums[4];
    for (int share = 0; share < P::SPLIT; share++) {
      const float4 more = scratch[(((from * P::SPLIT + share) * R + r) * C + c) * 32 + lane];
      sums[0] = share ? sums[0] + more.x : more.x;
      sums[1] = share ? sums[1] + more.y : more.y;
      sums[2] = share ? sums[2] + more.z : more.z;
      sums[3] = share ? sums[3] + more.w : more.w;
    }
    done(tile, c, sums);
  }
}
