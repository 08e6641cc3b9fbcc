// Every tile of 16 rows of this block, all of its warps on the K of one tile; rows(tile, i) is the
// matrix row of a tile's row i, done(tile, sums) is called in the first warp with the sums. A block's steps, tile
// after tile, are numbered; RING - 1 of them are in flight, also while `prepare` stages x.
template <typename P, int RING, typename Rows, typename Prepare, typename Done>
__device__ inline void each_tile(const P& product, const uint4* x, float4* scratch, int tiles, const uint* ahead,
                                 Rows rows, Prepare prepare, Done done) {
  constexpr int STEPS = P::STEPS_EACH;
  const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4;
  typename P::Slice slices[RING];
  bool fetched = false;
  auto load = [&](typename P::Slice& slice, int number, int i) {
    const int tile = int(blockIdx.x) + number * int(gridDim.x);
    if (tile < tiles) {
      product.load(slice, product.at(rows(tile, g), rows(tile, g + 8), warp), warp, i);
    } else if (!fetched) {
      fetched = true;
      fetch_ahead(ahead);
    }
  };
#pragma unroll
  for (int n = 0; n < RING - 1; n++) load(slices[n], n / STEPS, n % STEPS);
  prepare();
  int parity = 0;
  for (int first = 0; int(blockIdx.x) + first * int(gridDim.x) < tiles; first += RING) {
#pragma unroll
    for (int j = 0; j < RING; j++) {
      const int tile = int(blockIdx.x) + (first + j) * int(gridDim.x);
      if (tile >= tiles) break;
      float sums[4] = {};
#pragma unroll
      for (int i = 0; i < STEPS; i++) {
        const int n = j * STEPS + i, next = n + RING - 1;
        load(slices[next % RING], first + next / STEPS, next % STEPS);
        P::add(slices[n % RING], x, warp, i, sums);
      }
      scratch[(parity * P::SPLIT + warp) * 32 + lane] = make_float4(sums[0], sums[1], sums[2], sums[3]);
      __syncthreads();
      if (warp == 0) {
        for (int w = 1; w < P::SPLIT; w++) {
          const float4 more = scratch[(parity * P::SPLIT + w) * 32 + lane];
          sums[0] += more.x;
          sums[1] += more.y;
          sums[2] += more.z;
          sums[3] += more.w;
        }
        done(tile, sums);
      }
      parity ^= 1;
    }
  }
}
