// A pass's activations as the products read them: in shared memory, or, a token in each column of an image of
// eight, in memory. `column`: of the first of N tokens. All wait for the launches ahead. Several tokens are read before
// one is staged: the compiler moves no reading over that.
template <typename T>
__device__ inline void unpack8(uint4 four, float* v) {
  const uint words[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
  for (int i = 0; i < 4; i++) {
    const float2 two = unpack2<T>(words[i]);
    v[2 * i] = two.x;
    v[2 * i + 1] = two.y;
  }
}

// The tokens' rows of x over their root mean squares, times norm.
template <typename P, typename T, int N, int K, int WARPS>
__device__ inline void stage_normed(uint4* staged, float* scratch, const T* x, const T* norm, const float* eps,
                                    int tokens, int column) {
  constexpr int CHUNKS = (K / 8 + WARPS * 32 - 1) / (WARPS * 32);
  constexpr bool KEPT = CHUNKS * N <= 8;  // x stays in registers between the two readings
  const int id = threadIdx.y * 32 + threadIdx.x;
  const uint4 none = make_uint4(0, 0, 0, 0);
  uint4 factors[CHUNKS], kept[KEPT ? CHUNKS : 1][KEPT ? N : 1];
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    const int c = id + i * WARPS * 32;
    factors[i] = c < K / 8 ? *(const uint4*)(norm + c * 8) : none;
  }
  const float small = eps[0];
  earlier();
  float squares[N] = {};
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    const int c = id + i * WARPS * 32;
#pragma unroll
    for (int m = 0; m < N; m++) {
      const uint4 four = m < tokens && c < K / 8 ? *(const uint4*)(x + m * K + c * 8) : none;
      if (KEPT) kept[i][m] = four;
      float v[8];
      unpack8<T>(four, v);
#pragma unroll
      for (int e = 0; e < 8; e++) squares[m] = fmaf(v[e], v[e], squares[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < N; m++) {
    const float all = warp_sum(squares[m]);
    if (threadIdx.x == 0) scratch[threadIdx.y * N + m] = all;
  }
  __syncthreads();
  float inverse[N];
#pragma unroll
  for (int m = 0; m < N; m++) {
    float all = 0.0f;
    for (int w = 0; w < WARPS; w++) all += scratch[w * N + m];
    inverse[m] = rsqrtf(fmaf(all, 1.0f / float(K), small));
  }
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    const int c = id + i * WARPS * 32;
    float n[8];
    unpack8<T>(factors[i], n);
    if (c - int(threadIdx.x) < K / 8) {
      uint4 fours[N];
#pragma unroll
      for (int m = 0; m < N; m++) {
        fours[m] = KEPT ? kept[KEPT ? i : 0][KEPT ? m : 0]
                        : m < tokens && c < K / 8 ? *(const uint4*)(x + m * K + c * 8) : none;
      }
#pragma unroll
      for (int m = 0; m < N; m++) {
        float v[8];
        unpack8<T>(fours[m], v);
#pragma unroll
        for (int e = 0; e < 8; e++) v[e] = v[e] * inverse[m] * n[e];
        P::stage(staged, column + m, c, v);
      }
    }
  }
  __syncthreads();
}

template <typename P, typename T, int N, int K, int WARPS>
__device__ inline void stage_plain(uint4* staged, const T* x, int tokens, int column) {
  constexpr int CHUNKS = (K / 8 + WARPS * 32 - 1) / (WARPS * 32), SOME = CHUNKS * N < 8 ? CHUNKS : N < 8 ? 8 / N : 1;
  const int id = threadIdx.y * 32 + threadIdx.x;
  earlier();
#pragma unroll
  for (int i = 0; i < CHUNKS; i += SOME) {
    uint4 fours[SOME][N];
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      const int c = id + (i + j) * WARPS * 32;
#pragma unroll
      for (int m = 0; m < N; m++) {
        fours[j][m] = m < tokens && c < K / 8 ? *(const uint4*)(x + m * K + c * 8) : make_uint4(0, 0, 0, 0);
      }
    }
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      const int c = id + (i + j) * WARPS * 32;
      if (c - int(threadIdx.x) >= K / 8) break;
#pragma unroll
      for (int m = 0; m < N; m++) {
        float v[8];
        unpack8<T>(fours[j][m], v);
        P::stage(staged, column + m, c, v);
      }
    }
  }
  __syncthreads();
}

// The parts of attention joined, of tokens from `first` on; shares: [NS N H] in shared memory.
template <typename P, typename T, int N, int H, int D, int NS, int WARPS>
__device__ inline void stage_joined(uint4* staged, float* shares, const T* parts, const float* stats, int tokens,
                                    int first, int count, int column) {
  constexpr int K = H * D;
  const int id = threadIdx.y * 32 + threadIdx.x;
  earlier();
  for (int i = id; i < count * H; i += WARPS * 32) {
    const int one = first * H + i;
    float top = stats[2 * one];
    for (int s = 1; s < NS; s++) top = fmaxf(top, stats[2 * (s * tokens * H + one)]);
    float all = 0.0f;
    for (int s = 0; s < NS; s++) {
      const int at = s * tokens * H + one;
      const float share = stats[2 * at + 1] * exp2f(stats[2 * at] - top);
      shares[s * N * H + i] = share;
      all += share;
    }
    for (int s = 0; s < NS; s++) shares[s * N * H + i] /= all;
  }
  __syncthreads();
  constexpr int FIT = NS <= 2 ? 8 : NS <= 4 ? 4 : NS <= 8 ? 2 : 1, SOME = FIT < N ? FIT : N;
  for (int c = id; c - int(threadIdx.x) < K / 8; c += WARPS * 32) {
#pragma unroll
    for (int from = 0; from < N; from += SOME) {
      uint4 fours[SOME][NS];
#pragma unroll
      for (int j = 0; j < SOME; j++) {
#pragma unroll
        for (int s = 0; s < NS; s++) {
          const bool there = from + j < count && c < K / 8;
          fours[j][s] = there ? *(const uint4*)(parts + (s * tokens + first + from + j) * K + c * 8)
                              : make_uint4(0, 0, 0, 0);
        }
      }
#pragma unroll
      for (int j = 0; j < SOME; j++) {
        float v[8] = {};
        if (from + j < count && c < K / 8) {
#pragma unroll
          for (int s = 0; s < NS; s++) {
            float part[8];
            unpack8<T>(fours[j][s], part);
            const float share = shares[s * N * H + (from + j) * H + c * 8 / D];
#pragma unroll
            for (int e = 0; e < 8; e++) v[e] = fmaf(share, part[e], v[e]);
          }
        }
        P::stage(staged, column + from + j, c, v);
      }
    }
  }
  __syncthreads();
}
