// A cluster of SHARES blocks makes one head of q, k or v, each some of its rows; the last one gets them all. Blocks beyond
// these only wait, as others do.
extern __shared__ uint4 staged[];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
__shared__ float squares[WARPS * M];
__shared__ float heads[M * D];
const int g = threadIdx.x / 4, t = threadIdx.x % 4, m = threadIdx.y, head = blockIdx.x / SHARES;
if (head >= H + 2 * HK) {
  later();
  earlier();
  return;
}
const int row = head * D + blockIdx.x % SHARES * (D / SHARES);
Turn<D> turn(frequency, position);
const Norm<P, T> scaled(norm, eps);
cluster_arrive<SHARES>();
each_tile(
    P{weight, (const uint2*)scales}, staged, row / 16, 1, (row + D / SHARES) / 16,
    [](int tile) { return tile; },
    [&](auto asked) {
      stage_normed<P, T, M, K, WARPS>(staged, squares, x, scaled, tokens, 0, [&] {
        asked();
        if (m < tokens) turn.make(m);
      });
      cluster_wait<SHARES>();
    },
    [&](int tile, const float* sums, int) {
      for (int i = 0; i < 4; i++) {
        const int n = 2 * t + i % 2, r = tile * 16 + g + i / 2 * 8;
        if (n < tokens) send<SHARES>(heads + n * D + r % D, sums[i] + (BIAS ? float(bias[r]) : 0.0f));
      }
    });
cluster_meet<SHARES>();
if (blockIdx.x % SHARES == SHARES - 1 && m < tokens) {
  finish_head<H, HK, D, HEAD_NORM>(heads + m * D, m, head, tokens, head_norm, turn, scaled.eps, q, rows);
}
