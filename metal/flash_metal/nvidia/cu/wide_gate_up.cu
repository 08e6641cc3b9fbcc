// Gate and up of a wide pass; tiles as in gate_up.cu.
extern __shared__ uint4 staged[];
using P = Product<T, S, 8, K, BITS, GROUP, SPLIT, U>;
const int g = threadIdx.x / 4, t = threadIdx.x % 4;
wide_tiles<P, WARPS, R, C>(
    P{weight, (const uint2*)scales}, (const uint4*)x, (float4*)staged, N / 8,
    [&](int tile, int c, const float* sums) {
      for (int i = 0; i < 2; i++) {
        const int m = c * 8 + 2 * t + i;
        if (m < tokens) y[m * N + tile * 8 + g] = T(sums[i] / (1.0f + expf(-sums[i])) * sums[i + 2]);
      }
    });
