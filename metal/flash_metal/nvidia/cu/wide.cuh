// The products of C times eight tokens, whose images lie one after another in memory. Each column gets its sums in
// the order that each_tile and qkv.cu have: SPLIT shares of K, each from nothing, then added up. A block takes R tiles
// of 16 rows, its warps the shares in turn.
template <typename P, int WARPS, int R, int C, typename Done>
__device__ inline void wide_tiles(const P& product, const uint4* images, float4* scratch, int tiles, Done done) {
  const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4, t = lane % 4;
  earlier();
  for (int share = warp; share < P::SPLIT; share += WARPS) {
    float sums[R][C][4] = {};
    typename P::Place from[R];
    typename P::Slice slices[2][R];
#pragma unroll
    for (int r = 0; r < R; r++) {
      const int tile = min(int(blockIdx.x) * R + r, tiles - 1);
      from[r] = product.at(tile, share);
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
          for (int j = 0; j < P::UNITS; j++) v[j] = x[P::at(group, j, g, t)];
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
        scratch[((share * R + r) * C + c) * 32 + lane] =
            make_float4(sums[r][c][0], sums[r][c][1], sums[r][c][2], sums[r][c][3]);
      }
    }
  }
  __syncthreads();
  for (int one = warp; one < R * C; one += WARPS) {
    const int r = one / C, c = one % C;
    const int tile = int(blockIdx.x) * R + r;
    if (tile >= tiles) continue;
    float sums[4];
    for (int share = 0; share < P::SPLIT; share++) {
      const float4 more = scratch[((share * R + r) * C + c) * 32 + lane];
      sums[0] = share ? sums[0] + more.x : more.x;
      sums[1] = share ? sums[1] + more.y : more.y;
      sums[2] = share ? sums[2] + more.z : more.z;
      sums[3] = share ? sums[3] + more.w : more.w;
    }
    done(tile, c, sums);
  }
}
