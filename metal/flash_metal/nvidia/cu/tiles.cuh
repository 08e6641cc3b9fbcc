// What a lane's sums of a tile are added to: of rows [tokens, N] that a launch before the one ahead has written.
template <typename T>
struct Residual {
  T values[4];
  __device__ Residual() {}
  __device__ Residual(const T* rows, int tile, int width, int tokens) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int m = threadIdx.x % 4 * 2 + i % 2;
      if (m < tokens) values[i] = rows[m * width + tile * 16 + threadIdx.x / 4 + i / 2 * 8];
    }
  }
};

// The tiles of 16 rows first, first + stride, ... of this block, all of its warps on the K of one tile. A warp's steps, tile
// after tile, are numbered; SLICES are in registers, AHEAD of them under way while the launch ahead ends. `prepare`
// stages x, which comes behind these, and calls what asks for the rest but one when it has asked for x. After TOGETHER tiles
// the block meets, and a warp each adds up the parts of one and calls done(tile, sums, held): `held` is what hold(tile)
// read some time before, in time for the first tiles before `prepare` waits. Behind x lie P::PARTS float4.
template <typename P, typename Hold, typename Prepare, typename Done>
__device__ inline void each_tile(const P& product, uint4* x, int first, int stride, int tiles, Hold hold,
                                 Prepare prepare, Done done) {
  constexpr int STEPS = P::STEPS_EACH, SLICES = P::SLICES, BATCH = P::BATCH, TOGETHER = P::TOGETHER;
  constexpr int AHEAD = SLICES > 2 ? 2 : 1;
  const int warp = threadIdx.y;
  typename P::Slice slices[SLICES];
  auto load = [&](int n, int from) {
    const int tile = from + n / STEPS * stride;
    if (tile < tiles) product.load(slices[n % SLICES], product.at(tile, warp), warp, n % STEPS);
  };
#pragma unroll
  for (int n = 0; n < AHEAD; n++) load(n, first);
  later();
  if (first >= tiles) {
    earlier();
    return;
  }
  int mine = first + warp * stride, kept = 0;  // the next tile whose parts this warp adds up; tiles kept since they were
  auto adds = [&] { return warp < TOGETHER && mine < tiles; };
  decltype(hold(0)) held;
  if (adds()) held = hold(mine);
  prepare([&] {
#pragma unroll
    for (int n = AHEAD; n < SLICES - 1; n++) load(n, first);
  });
  float4 *const scratch = (float4*)(x + P::IMAGE), *parts = scratch;
  for (int batch = first; batch < tiles; batch += BATCH * stride) {
#pragma unroll
    for (int j = 0; j < BATCH; j++) {
      const int tile = batch + j * stride;
      if (tile >= tiles) break;
      float sums[4] = {};
#pragma unroll
      for (int i = 0; i < STEPS; i++) {
        const int n = j * STEPS + i;
        load(n + SLICES - 1, batch);
        P::add(slices[n % SLICES], x, warp, i, sums);
      }
      P::keep(parts + (kept++ * P::SPLIT + warp) * P::PART, sums);
      if (kept < TOGETHER && tile + stride < tiles) continue;
      __syncthreads();
      if (adds()) {
        P::join(parts + warp * P::SPLIT * P::PART, sums);
        done(mine, sums, held);
        mine += TOGETHER * stride;
        if (adds()) held = hold(mine);
      }
      parts = scratch + (parts == scratch ? TOGETHER * P::SPLIT * P::PART : 0);
      kept = 0;
    }
  }
}
