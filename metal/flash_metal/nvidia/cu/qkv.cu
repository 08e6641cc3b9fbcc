// A block makes one head of q, k or v; blocks beyond these only wait, as others do.
extern __shared__ uint4 staged[];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
__shared__ float4 scratch[2 * WARPS * P::PART];
__shared__ float squares[WARPS * M];
__shared__ float heads[M * D];
const int g = threadIdx.x / 4, t = threadIdx.x % 4, warp = threadIdx.y, head = blockIdx.x;
const bool real = head < H + 2 * HK;
each_tile(
    P{weight, scales, biases}, staged, scratch, 0, 1, real ? D / 16 : 0,
    [&](int tile, int i) { return uint(head * D + tile * 16 + i); },
    [&] { stage_normed<P, T, M, K, WARPS>(staged, squares, x, norm, eps, tokens, 0); },
    [&](int tile, const float* sums) {
      for (int i = 0; i < 4; i++) {
        const int m = 2 * t + i % 2, d = tile * 16 + g + i / 2 * 8;
        if (m < tokens) heads[m * D + d] = sums[i] + (BIAS ? float(bias[head * D + d]) : 0.0f);
      }
    });
__syncthreads();
for (int m = warp; real && m < tokens; m += WARPS) {
  finish_head<H, HK, D, HEAD_NORM>(heads + m * D, m, head, tokens, head_norm, frequency, position[0], eps[0], q, rows);
}
