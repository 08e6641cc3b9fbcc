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
typename P::Slice slices[3];
product.load(slices[0], from, share, 0);
if (P::STEPS_EACH > 1) product.load(slices[1], from, share, 1);
stage_normed<P, T, M, K, WARPS>(staged, (float*)scratch, x, norm, eps, tokens, 0);
float sums[4] = {};
#pragma unroll
for (int i = 0; i < P::STEPS_EACH; i++) {
  if (i + 2 < P::STEPS_EACH) product.load(slices[(i + 2) % 3], from, share, i + 2);
  if (i + 2 == P::STEPS_EACH || P::STEPS_EACH == 1) fetch_ahead(ahead);
  P::add(slices[i % 3], staged, share, i, sums);
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
