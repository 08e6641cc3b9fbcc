// A block makes one head of q, k or v; SPLIT warps share the K of a tile of 16 rows.
constexpr int SPLIT = WARPS / (D / 16);
extern __shared__ uint4 staged[];
__shared__ float4 scratch[WARPS * 32];
__shared__ float heads[M * D];
using P = Product<T, S, M, K, BITS, GROUP, SPLIT, U>;
const P product = {weight, scales, biases};
const int lane = threadIdx.x, warp = threadIdx.y, head = blockIdx.x, g = lane / 4, t = lane % 4;
const uint row = head * D + warp / SPLIT * 16 + g;
const int share = warp % SPLIT;
const typename P::Rows from = product.at(row, row + 8, share);
typename P::Slice slices[RING];
#pragma unroll
for (int i = 0; i < RING - 1 && i < P::STEPS_EACH; i++) product.load(slices[i], from, share, i);
stage_normed<P, T, M, K, WARPS>(staged, (float*)scratch, x, norm, eps, tokens, 0);
float sums[4] = {};
#pragma unroll
for (int i = 0; i < P::STEPS_EACH; i++) {
  const int next = i + RING - 1;
  if (next < P::STEPS_EACH) product.load(slices[next % RING], from, share, next);
  if (next == P::STEPS_EACH || (i == 0 && next > P::STEPS_EACH)) fetch_ahead(ahead);
  P::add(slices[i % RING], staged, share, i, sums);
}
scratch[warp * 32 + lane] = make_float4(sums[0], sums[1], sums[2], sums[3]);
__syncthreads();
if (warp % SPLIT == 0) {
  for (int w = 1; w < SPLIT; w++) {
    const float4 more = scratch[(warp + w) * 32 + lane];
    sums[0] += more.x;
    sums[1] += more.y;
    sums[2] += more.z;
    sums[3] += more.w;
  }
  for (int i = 0; i < 4; i++) {
    const int m = 2 * t + i % 2, d = warp / SPLIT * 16 + g + i / 2 * 8;
    if (m < tokens) heads[m * D + d] = sums[i] + (BIAS ? float(bias[head * D + d]) : 0.0f);
  }
}
__syncthreads();
for (int m = warp; m < tokens; m += WARPS) {
  finish_head<H, HK, D, HEAD_NORM>(heads + m * D, m, head, tokens, head_norm, frequency, position[0], eps[0], q, rows);
}
