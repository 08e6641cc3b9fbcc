// The parts of attention joined, their projection, and the residual.
constexpr int K = H * D;
extern __shared__ uint4 staged[];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
__shared__ float shares[NS * M * H];
const int g = threadIdx.x / 4, t = threadIdx.x % 4;
each_tile(
    P{weight, (const uint2*)scales}, staged, blockIdx.x, gridDim.x, N / 16,
    [&](int tile) { return Residual<T>(residual, tile, N, tokens); },
    [&](auto asked) { stage_joined<P, T, M, H, D, NS, WARPS>(staged, shares, parts, stats, tokens, 0, tokens, 0, asked); },
    [&](int tile, const float* sums, const Residual<T>& held) {
      for (int i = 0; i < 4; i++) {
        const int m = 2 * t + i % 2, n = tile * 16 + g + i / 2 * 8;
        if (m < tokens) y[m * N + n] = T(sums[i] + float(held.values[i]));
      }
    });
