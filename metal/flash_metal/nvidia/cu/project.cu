// The parts of attention joined, their projection, and the residual.
constexpr int K = H * D;
extern __shared__ uint4 staged[];
__shared__ float4 scratch[2 * WARPS * 32];
__shared__ float shares[NS * M * H];
using P = Product<T, S, M, K, BITS, GROUP, WARPS, U>;
const P product = {weight, scales, biases, staged};
const int id = threadIdx.y * 32 + threadIdx.x, g = threadIdx.x / 4, t = threadIdx.x % 4;
each_tile<P, WARPS>(
    product, scratch, N / 16, [](int tile, int i) { return uint(tile * 16 + i); },
    [&] {
      const int count = tokens * H;
      for (int i = id; i < count; i += WARPS * 32) {
        float top = stats[2 * i];
        for (int s = 1; s < NS; s++) top = fmaxf(top, stats[2 * (s * count + i)]);
        float all = 0.0f;
        for (int s = 0; s < NS; s++) {
          const int at = s * count + i;
          const float share = stats[2 * at + 1] * exp2f(stats[2 * at] - top);
          shares[s * M * H + i] = share;
          all += share;
        }
        for (int s = 0; s < NS; s++) shares[s * M * H + i] /= all;
      }
      __syncthreads();
      for (int c = id; c - int(threadIdx.x) < K / 8; c += WARPS * 32) {
#pragma unroll
        for (int m = 0; m < M; m++) {
          float v[8] = {};
          if (m < tokens && c < K / 8) {
#pragma unroll
            for (int s = 0; s < NS; s++) {
              float part[8];
              load8(parts + (s * tokens + m) * K + c * 8, part);
              const float share = shares[s * M * H + m * H + c * 8 / D];
              for (int i = 0; i < 8; i++) v[i] = fmaf(share, part[i], v[i]);
            }
          }
          P::stage(staged, m, c, v);
        }
      }
      __syncthreads();
    },
    [&](int tile, const float* sums) {
      for (int i = 0; i < 4; i++) {
        const int m = 2 * t + i % 2, n = tile * 16 + g + i / 2 * 8;
        if (m < tokens) y[m * N + n] = T(sums[i] + float(residual[m * N + n]));
      }
    });
