// The tiles of 16 rows first, first + stride, ... of this block, all of its warps on the K of one tile; rows(tile, i) is
// the matrix row of a tile's row i, done(tile, sums) is called in the first warp with the sums; scratch: [2 SPLIT PART].
// A block's steps, tile after tile, are numbered; one is in flight, also while `prepare` stages x, and while the launch
// ahead ends.
template <typename P, typename Rows, typename Prepare, typename Done>
__device__ inline void each_tile(const P& product, const uint4* x, float4* scratch, int first, int stride, int tiles,
                                 Rows rows, Prepare prepare, Done done) {
  constexpr int STEPS = P::STEPS_EACH;
  const int warp = threadIdx.y, g = threadIdx.x / 4;
  typename P::Slice slices[2];
  auto load = [&](typename P::Slice& slice, int tile, int i) {
    if (tile < tiles) product.load(slice, product.at(rows(tile, g), rows(tile, g + 8), warp), warp, i);
  };
  load(slices[0], first, 0);
  later();
  if (first >= tiles) {
    earlier();
    return;
  }
  prepare();
  for (int pair = first; pair < tiles; pair += 2 * stride) {
#pragma unroll
    for (int j = 0; j < 2; j++) {
      const int tile = pair + j * stride;
      if (tile >= tiles) break;
      float sums[4] = {};
#pragma unroll
      for (int i = 0; i < STEPS; i++) {
        const int n = j * STEPS + i, next = n + 1;
        load(slices[next % 2], pair + next / STEPS * stride, next % STEPS);
        P::add(slices[n % 2], x, warp, i, sums);
      }
      float4* parts = scratch + j * P::SPLIT * P::PART;
      P::keep(parts + warp * P::PART, sums);
      __syncthreads();
      if (warp == 0) {
        P::join(parts, sums);
        done(tile, sums);
      }
    }
  }
}
