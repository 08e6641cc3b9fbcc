// Every tile of 16 rows of this block, all of its warps on the K of one tile; rows(tile, i) is the
// matrix row of a tile's row i, done(tile, sums) is called in the first warp with the sums. The
// first slice is in flight before `prepare` stages x; the next one always before one is used.
template <typename P, typename Rows, typename Prepare, typename Done>
__device__ inline void each_tile(const P& product, const uint4* x, float4* scratch, int tiles, const uint* ahead,
                                 Rows rows, Prepare prepare, Done done) {
  const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4;
  typename P::Slice slices[2];
  int tile = blockIdx.x;
  typename P::Rows from = product.at(rows(tile, g), rows(tile, g + 8), warp);
  product.load(slices[0], from, warp, 0);
  prepare();
  int parity = 0;
  for (; tile < tiles; tile += gridDim.x) {
    float sums[4] = {};
#pragma unroll
    for (int i = 0; i < P::STEPS_EACH; i++) {
      if (i + 1 < P::STEPS_EACH) {
        product.load(slices[(i + 1) % 2], from, warp, i + 1);
      } else if (tile + gridDim.x < tiles) {
        from = product.at(rows(tile + gridDim.x, g), rows(tile + gridDim.x, g + 8), warp);
        product.load(slices[(i + 1) % 2], from, warp, 0);
      } else {
        fetch_ahead(ahead);
      }
      P::add(slices[i % 2], x, warp, i, sums);
    }
    if (P::STEPS_EACH % 2) slices[0] = slices[1];
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
