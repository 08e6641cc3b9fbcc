// The down product plus the residual (RESIDUAL), and the vocabulary projection of the normed rows (NORM).
extern __shared__ uint4 staged[];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
__shared__ float squares[WARPS * M];
const int g = threadIdx.x / 4, t = threadIdx.x % 4;
const Norm<P, T> scaled = NORM ? Norm<P, T>(norm, (const float*)eps) : Norm<P, T>();
each_tile(
    P{weight, (const uint2*)scales}, staged, blockIdx.x, gridDim.x, N / 16,
    [&](int tile) { return Residual<T>(residual, tile, N, RESIDUAL ? tokens : 0); },
    [&](auto asked) {
      if constexpr (NORM) {
        stage_normed<P, T, M, K, WARPS>(staged, squares, x, scaled, tokens, 0, asked);
      } else if constexpr (M == 1) {
        stage_plain<P, T, M, K>(staged, x, tokens, 0, asked);
      } else {
        copy_plain<P, T, M, K>(staged, x, tokens, asked);
      }
    },
    [&](int tile, const float* sums, const Residual<T>& held) {
      for (int i = 0; i < 4; i++) {
        const int m = 2 * t + i % 2, n = tile * 16 + g + i / 2 * 8;
        if (m < tokens) y[m * N + n] = Y(sums[i] + (RESIDUAL ? float(held.values[i]) : 0.0f));
      }
    });
