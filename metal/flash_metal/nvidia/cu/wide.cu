// The product of a wide pass, plus `more`: the residual's rows (RESIDUAL), or a bias (BIAS).
extern __shared__ uint4 staged[];
using P = Product<T, S, 8, K, BITS, GROUP, SPLIT, U>;
const int g = threadIdx.x / 4, t = threadIdx.x % 4;
wide_tiles<P, WARPS, R, C>(
    P{weight, (const uint2*)scales}, (const uint4*)x, (float4*)staged, N / 16,
    [&](int tile, int c, const float* sums) {
      for (int i = 0; i < 4; i++) {
        const int m = c * 8 + 2 * t + i % 2, n = tile * 16 + g + i / 2 * 8;
        if (m < tokens) y[m * N + n] = Y(sums[i] + (RESIDUAL || BIAS ? float(more[RESIDUAL ? m * N + n : n]) : 0.0f));
      }
    });
