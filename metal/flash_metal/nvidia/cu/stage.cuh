// A pass's activations on their way to the products: in shared memory, or, a token in each column of an image of
// eight, in memory. `column`: of the first of N tokens. A warp brings what it takes itself, its share of K. All wait for
// the launches ahead, and call asked() when what these made has been asked for. Several tokens are read before one is put
// down: the compiler moves no reading over that.
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
template <typename T>
__device__ inline uint4 pack8(const float* v) {
  return make_uint4(pack<T>(v[0], v[1]), pack<T>(v[2], v[3]), pack<T>(v[4], v[5]), pack<T>(v[6], v[7]));
}

// A norm's weights, of the warp's share, and its eps: to be asked for ahead of a launch's weights.
template <typename P, typename T>
struct Norm {
  uint4 factors[P::SHARE_UNITS / 32];
  float eps;
  __device__ Norm() {}
  __device__ Norm(const T* norm, const float* small) {
#pragma unroll
    for (int i = 0; i < P::SHARE_UNITS / 32; i++) {
      factors[i] = ask<uint4>(norm + max(P::unit(threadIdx.y, threadIdx.x + i * 32), 0) * 8);
    }
    eps = ask<float>(small);
  }
};

// The tokens' rows of x over their root mean squares, times the norm's weights; squares: [WARPS N] in shared memory.
template <typename P, typename T, int N, int K, int WARPS, typename Asked>
__device__ inline void stage_normed(uint4* staged, float* squares, const T* x, const Norm<P, T>& norm, int tokens,
                                    int column, Asked asked) {
  constexpr int CHUNKS = P::SHARE_UNITS / 32;
  constexpr bool KEPT = CHUNKS * N <= 8;  // x stays in registers between the two readings
  const int lane = threadIdx.x, warp = threadIdx.y;
  const uint4 none = make_uint4(0, 0, 0, 0);
  uint4 kept[KEPT ? CHUNKS : 1][KEPT ? N : 1];
  earlier();
  float sums[N] = {};
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    const int c = P::unit(warp, lane + i * 32);
    uint4 fours[N];
#pragma unroll
    for (int m = 0; m < N; m++) fours[m] = m < tokens && c >= 0 ? ask<uint4>(x + m * K + c * 8) : none;
    if (i == CHUNKS - 1) asked();
#pragma unroll
    for (int m = 0; m < N; m++) {
      if (KEPT) kept[i][m] = fours[m];
      float v[8];
      unpack8<T>(fours[m], v);
#pragma unroll
      for (int e = 0; e < 8; e++) sums[m] = fmaf(v[e], v[e], sums[m]);
    }
  }
#pragma unroll
  for (int m = 0; m < N; m++) {
    const float all = warp_sum(sums[m]);
    if (lane == 0) squares[warp * N + m] = all;
  }
  __syncthreads();
  float all = 0.0f;
  for (int w = 0; w < WARPS; w++) all += squares[w * N + lane % N];
  const float mine = rsqrtf(fmaf(all, 1.0f / float(K), norm.eps));
  float inverse[N];
#pragma unroll
  for (int m = 0; m < N; m++) inverse[m] = __shfl_sync(~0u, mine, m);
#pragma unroll
  for (int i = 0; i < CHUNKS; i++) {
    const int c = P::unit(warp, lane + i * 32);
    if (c < 0) continue;
    float n[8];
    unpack8<T>(norm.factors[i], n);
    uint4 fours[N];
#pragma unroll
    for (int m = 0; m < N; m++) {
      fours[m] = KEPT ? kept[KEPT ? i : 0][KEPT ? m : 0] : m < tokens ? *(const uint4*)(x + m * K + c * 8) : none;
    }
#pragma unroll
    for (int m = 0; m < N; m++) {
      float v[8];
      unpack8<T>(fours[m], v);
#pragma unroll
      for (int e = 0; e < 8; e++) v[e] = v[e] * inverse[m] * n[e];
      staged[P::place(column + m, c)] = P::ordered(pack8<T>(v));
    }
  }
  P::template settle<N>(staged, column);
}

// As they are; columns beyond the tokens repeat the last. Faster than copies for one token.
template <typename P, typename T, int N, int K, typename Asked>
__device__ inline void stage_plain(uint4* staged, const T* x, int tokens, int column, Asked asked) {
  constexpr int ALL = P::SHARE_UNITS / 32 * N, SOME = ALL < 12 ? ALL : 12;
  earlier();
#pragma unroll
  for (int from = 0; from < ALL; from += SOME) {
    uint4 fours[SOME];
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      const int c = P::unit(threadIdx.y, threadIdx.x + (from + j) / N * 32), m = min((from + j) % N, tokens - 1);
      if (from + j < ALL && c >= 0) fours[j] = ask<uint4>(x + m * K + c * 8);
    }
    if (from + SOME >= ALL) asked();
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      const int c = P::unit(threadIdx.y, threadIdx.x + (from + j) / N * 32);
      if (from + j < ALL && c >= 0) staged[P::place(column + (from + j) % N, c)] = P::ordered(fours[j]);
    }
  }
  P::template settle<N>(staged, column);
}

// The same by copies, of which the steps are settled as they come.
template <typename P, typename T, int N, int K, typename Asked>
__device__ inline void copy_plain(uint4* staged, const T* x, int tokens, Asked asked) {
  earlier();
#pragma unroll
  for (int i = 0; i < P::STEPS_EACH; i++) {
    for (int e = threadIdx.x; e < P::STEP_UNITS; e += 32) {
      const int c = P::unit(threadIdx.y, i * P::STEP_UNITS + e);
      if (c < 0) continue;
#pragma unroll
      for (int m = 0; m < N; m++) {
        copy16((uint*)(staged + P::place(m, c)), (const uint*)(x + min(m, tokens - 1) * K + c * 8));
      }
    }
    copies_end();
  }
  asked();
#pragma unroll
  for (int i = 0; i < P::STEPS_EACH; i++) {
    copies_end();  // none: as many may be under way at each step
    copies_wait<P::STEPS_EACH>();
    P::template settle<N, false>(staged, threadIdx.y, i, 0);
  }
  __syncwarp();
}

// The parts of attention joined, of tokens from `first` on; shares: [NS N H] in shared memory.
template <typename P, typename T, int N, int H, int D, int NS, int WARPS, typename Asked>
__device__ inline void stage_joined(uint4* staged, float* shares, const T* parts, const float* stats, int tokens,
                                    int first, int count, int column, Asked asked) {
  constexpr int K = H * D, CHUNKS = P::SHARE_UNITS / 32;
  constexpr int FIT = NS <= 2 ? 8 : NS <= 4 ? 2 : 1, SOME = FIT < N ? FIT : N, ROUNDS = N / SOME;
  const int lane = threadIdx.x, warp = threadIdx.y, id = warp * 32 + lane;
  uint4 fours[SOME][NS];
  auto read = [&](int c, int from) {
#pragma unroll
    for (int j = 0; j < SOME; j++) {
#pragma unroll
      for (int s = 0; s < NS; s++) {
        const int m = first + min(from + j, count - 1);
        if (c >= 0) fours[j][s] = ask<uint4>(parts + (s * tokens + m) * K + c * 8);
      }
    }
  };
  float tops[NS], totals[NS];
  auto look = [&](int i) {
#pragma unroll
    for (int s = 0; s < NS; s++) {
      const float2 both = ask<float2>(stats + 2 * (s * tokens * H + first * H + i));
      tops[s] = both.x, totals[s] = both.y;
    }
  };
  earlier();
  if (id < count * H) look(id);
  read(P::unit(warp, lane), 0);  // while the shares are made
  asked();
  for (int i = id; i < count * H; i += WARPS * 32) {
    if (i > id) look(i);
    float top = tops[0], all = 0.0f;
#pragma unroll
    for (int s = 1; s < NS; s++) top = fmaxf(top, tops[s]);
#pragma unroll
    for (int s = 0; s < NS; s++) {
      totals[s] *= exp2f(tops[s] - top);
      all += totals[s];
    }
    const float inverse = 1.0f / all;
#pragma unroll
    for (int s = 0; s < NS; s++) shares[s * N * H + i] = totals[s] * inverse;
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < CHUNKS * ROUNDS; i++) {
    const int c = P::unit(warp, lane + i / ROUNDS * 32), from = i % ROUNDS * SOME;
    if (i > 0) read(c, from);
#pragma unroll
    for (int j = 0; j < SOME; j++) {
      float v[8] = {};
#pragma unroll
      for (int s = 0; s < NS; s++) {
        float part[8];
        unpack8<T>(fours[j][s], part);
        const float share = c >= 0 ? shares[s * N * H + min(from + j, count - 1) * H + c * 8 / D] : 0.0f;
#pragma unroll
        for (int e = 0; e < 8; e++) v[e] = fmaf(share, part[e], v[e]);
      }
      if (c >= 0) staged[P::place(column + from + j, c)] = P::ordered(pack8<T>(v));
    }
  }
  P::template settle<N>(staged, column);
}
