// A tile is eight rows of gate and the same eight of up: a lane gets both of a result.
extern __shared__ uint4 staged[];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
__shared__ float squares[WARPS * M];
const int g = threadIdx.x / 4, t = threadIdx.x % 4;
const Norm<P, T> scaled(norm, eps);
each_tile(
    P{weight, (const uint2*)scales}, staged, blockIdx.x, gridDim.x, N / 8,
    [](int tile) { return tile; },
    [&](auto asked) { stage_normed<P, T, M, K, WARPS>(staged, squares, x, scaled, tokens, 0, asked); },
    [&](int tile, const float* sums, int) {
      for (int i = 0; i < 2; i++) {
        const int m = 2 * t + i;
        if (m < tokens) y[m * N + tile * 8 + g] = T(sums[i] / (1.0f + expf(-sums[i])) * sums[i + 2]);
      }
    });
