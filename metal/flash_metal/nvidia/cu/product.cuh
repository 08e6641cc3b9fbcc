// The products on matrix units: weights are the 16 x 16 operand, the pass's tokens the 8
// columns of the other, so that a pass of 1 token and one of 8 are the same computation.
//
// A warp takes 16 rows and U groups of K at a time. Lane 4 g + t holds the words of rows g and
// g + 8 whose K belong to quarter t of a group. A field or-ed into the bits of a power of two is
// an exact 16-bit float, OFFSET + q, without a conversion; the sum of x over the group takes the
// offset out again: y += s sum((q + OFFSET) x) + (b - OFFSET s) sum(x). Eight bits are two planes
// of four.

// word & mask | bits, in one instruction.
__device__ inline uint select(uint word, uint mask, uint bits) {
  uint r;
  asm("lop3.b32 %0, %1, %2, %3, 0xea;" : "=r"(r) : "r"(word), "r"(mask), "r"(bits));
  return r;
}

template <typename T> struct Fields;
template <> struct Fields<half> {
  static constexpr float OFFSET = 64.0f;
  __device__ static uint pair(uint word, int i) {
    return select(i == 0 ? word << 4 : word >> (4 * i - 4), 0x00f000f0u, 0x54005400u);
  }
};
template <> struct Fields<bfloat> {
  static constexpr float OFFSET = 128.0f;
  __device__ static uint pair(uint word, int i) { return select(word >> (4 * i), 0x000f000fu, 0x43004300u); }
};

template <int WORDS> struct Words { uint w[WORDS]; };
template <int WORDS>
__device__ inline Words<WORDS> stream(const uint* at) {
  Words<WORDS> r;
  if constexpr (WORDS == 4) {
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
        : "=r"(r.w[0]), "=r"(r.w[1]), "=r"(r.w[2]), "=r"(r.w[3]) : "l"(at));
  } else if constexpr (WORDS == 2) {
    asm("ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {%0,%1}, [%2];" : "=r"(r.w[0]), "=r"(r.w[1]) : "l"(at));
  } else {
    asm("ld.global.nc.L1::no_allocate.L2::128B.u32 %0, [%1];" : "=r"(r.w[0]) : "l"(at));
  }
  return r;
}

template <typename T, typename S, int M, int K, int BITS, int GROUP, int SPLIT, int U>
struct Product {
  static constexpr int TOKENS = M < 2 ? 2 : M;
  static constexpr int WORDS = GROUP * BITS / 128;  // of a lane, a row and a group
  static constexpr int UNITS = GROUP / 32;          // 16-byte units of x of a lane and a group
  static constexpr int GROUPS = K / GROUP;
  static constexpr int STEPS = (GROUPS + U - 1) / U;
  static constexpr int STEPS_EACH = (STEPS + SPLIT - 1) / SPLIT;
  static constexpr bool ALIGNED = GROUPS % U == 0;
  static constexpr int X = K / 8 * M;  // 16-byte units of staged x; behind them, its sums a group

  struct Slice {
    Words<WORDS> w[2][U];
    S scale[2][U], bias[2][U];
  };

  const uint* weight;
  const S* scales;
  const S* biases;
  const uint4* x;

  // Where a lane's rows begin for the warp's first step.
  struct Rows {
    const uint* words[2];
    uint group[2];
  };

  __device__ Rows at(uint low, uint high, int share) const {
    Rows rows;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const uint row = r == 0 ? low : high;
      rows.words[r] = weight + ulong(row) * (K * BITS / 32) + (share * U * 4 + threadIdx.x % 4) * WORDS;
      rows.group[r] = row * GROUPS + share * U;
    }
    return rows;
  }

  // The warp's i-th step: `share` of SPLIT.
  __device__ void load(Slice& s, const Rows& rows, int share, int i) const {
    if (i * SPLIT + SPLIT > STEPS && i * SPLIT + share >= STEPS) return;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const S* scale = scales + rows.group[r] + i * SPLIT * U;
      const S* bias = biases + rows.group[r] + i * SPLIT * U;
#pragma unroll
      for (int u = 0; u < U; u++) {
        if (ALIGNED || (i * SPLIT + share) * U + u < GROUPS) {
          s.w[r][u] = stream<WORDS>(rows.words[r] + (i * SPLIT * U + u) * 4 * WORDS);
          if (!ALIGNED) {
            s.scale[r][u].bits = __ldg((const ushort*)scale + u);
            s.bias[r][u].bits = __ldg((const ushort*)bias + u);
          }
        }
      }
      if (ALIGNED) {
        row(s.scale[r], scale);
        row(s.bias[r], bias);
      }
    }
  }

  // sums[0], [1]: row g, tokens 2 t and 2 t + 1; [2], [3]: row g + 8.
  __device__ void add(const Slice& s, int share, int i, float* sums) const {
    const uint g = threadIdx.x / 4, t = threadIdx.x % 4;
    if (i * SPLIT + SPLIT > STEPS && i * SPLIT + share >= STEPS) return;
#pragma unroll
    for (int u = 0; u < U; u++) {
      const int group = (i * SPLIT + share) * U + u;
      if (!ALIGNED && group >= GROUPS) break;
      float low[4] = {}, high[4] = {};
#pragma unroll
      for (int j = 0; j < UNITS; j++) {
        uint4 v = make_uint4(0, 0, 0, 0);
        if (M == 8 || g < M) v = x[((group * UNITS + j) * M + g) * 4 + t];
        const uint b[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
        for (int h = 0; h < 2; h++) {
          if constexpr (BITS == 4) {
            const uint p = s.w[0][u].w[j], q = s.w[1][u].w[j];
            mma<T>(low, pair(p, 2 * h), pair(q, 2 * h), pair(p, 2 * h + 1), pair(q, 2 * h + 1), b[2 * h], b[2 * h + 1]);
          } else {
            const uint p = s.w[0][u].w[2 * j + h], q = s.w[1][u].w[2 * j + h];
            mma<T>(low, pair(p, 0), pair(q, 0), pair(p, 2), pair(q, 2), b[2 * h], b[2 * h + 1]);
            mma<T>(high, pair(p, 1), pair(q, 1), pair(p, 3), pair(q, 3), b[2 * h], b[2 * h + 1]);
          }
        }
      }
      const float2 all = *(const float2*)((const float*)(x + X) + group * TOKENS + 2 * t % TOKENS);
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float scale = float(s.scale[r][u]);
        const float bias = fmaf(scale, -(BITS == 8 ? 17.0f : 1.0f) * Fields<T>::OFFSET, float(s.bias[r][u]));
#pragma unroll
        for (int c = 2 * r; c < 2 * r + 2; c++) {
          const float sum = BITS == 8 ? fmaf(16.0f, high[c], low[c]) : low[c];
          sums[c] = fmaf(scale, sum, fmaf(bias, c % 2 ? all.y : all.x, sums[c]));
        }
      }
    }
  }

  __device__ static uint pair(uint word, int i) { return Fields<T>::pair(word, i); }

  __device__ static void row(S* to, const S* from) {
#pragma unroll
    for (int u = 0; u < U; u += 2) {
      const uint both = __ldg((const uint*)from + u / 2);
      to[u].bits = ushort(both);
      to[u + 1].bits = ushort(both >> 16);
    }
  }

  // Eight activations of token m at 8 c, in the order that `add` reads them in, and their group's sum.
  // By whole warps, of neighbouring c, those beyond K too.
  __device__ static void stage(uint4* x, int m, int c, const float* v) {
    constexpr int ORDER[8] = {0, BITS == 4 ? 4 : 2, 1, BITS == 4 ? 5 : 3, BITS == 4 ? 2 : 4, 6, BITS == 4 ? 3 : 5, 7};
    const int group = c * 8 / GROUP, t = c * 8 % GROUP / (GROUP / 4), j = c % UNITS;
    uint w[4];
    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      w[i] = pack<T>(v[ORDER[2 * i]], v[ORDER[2 * i + 1]]);
      const float2 two = unpack2<T>(w[i]);
      sum += two.x + two.y;
    }
#pragma unroll
    for (int other = 1; other < GROUP / 8; other *= 2) sum += __shfl_xor_sync(~0u, sum, other);
    if (c < K / 8) {
      x[((group * UNITS + j) * M + m) * 4 + t] = make_uint4(w[0], w[1], w[2], w[3]);
      if (c % (GROUP / 8) == 0) ((float*)(x + X))[group * TOKENS + m] = sum;
    }
  }
};

// The tokens' rows of x over their root mean squares, times norm.
template <typename P, typename T, int M, int K, int WARPS>
__device__ inline void stage_normed(uint4* staged, float* scratch, const T* x, const T* norm, float eps, int tokens) {
  const int id = threadIdx.y * 32 + threadIdx.x;
  float squares[M] = {};
  for (int c = id; c < K / 8; c += WARPS * 32) {
#pragma unroll
    for (int m = 0; m < M; m++) {
      if (m < tokens) {
        float v[8];
        load8(x + m * K + c * 8, v);
        for (int i = 0; i < 8; i++) squares[m] = fmaf(v[i], v[i], squares[m]);
      }
    }
  }
#pragma unroll
  for (int m = 0; m < M; m++) {
    const float all = warp_sum(squares[m]);
    if (threadIdx.x == 0) scratch[threadIdx.y * M + m] = all;
  }
  __syncthreads();
  float inverse[M];
#pragma unroll
  for (int m = 0; m < M; m++) {
    float all = 0.0f;
    for (int w = 0; w < WARPS; w++) all += scratch[w * M + m];
    inverse[m] = rsqrtf(fmaf(all, 1.0f / float(K), eps));
  }
  for (int c = id; c - int(threadIdx.x) < K / 8; c += WARPS * 32) {
    float n[8] = {};
    if (c < K / 8) load8(norm + c * 8, n);
#pragma unroll
    for (int m = 0; m < M; m++) {
      float v[8] = {};
      if (m < tokens && c < K / 8) {
        load8(x + m * K + c * 8, v);
        for (int i = 0; i < 8; i++) v[i] = v[i] * inverse[m] * n[i];
      }
      P::stage(staged, m, c, v);
    }
  }
  __syncthreads();
}

template <typename P, typename T, int M, int K, int WARPS>
__device__ inline void stage_plain(uint4* staged, const T* x, int tokens) {
  for (int c = threadIdx.y * 32 + threadIdx.x; c - int(threadIdx.x) < K / 8; c += WARPS * 32) {
#pragma unroll
    for (int m = 0; m < M; m++) {
      float v[8] = {};
      if (m < tokens && c < K / 8) load8(x + m * K + c * 8, v);
      P::stage(staged, m, c, v);
    }
  }
  __syncthreads();
}

// Every tile of 16 rows of this block, all of its warps on the K of one tile; rows(tile, i) is the
// matrix row of a tile's row i, done(tile, sums) is called in the first warp with the sums. The
// first slice is in flight before `prepare` stages x; the next one always before one is used.
template <typename P, int WARPS, typename Rows, typename Prepare, typename Done>
__device__ inline void each_tile(const P& product, float4* scratch, int tiles, Rows rows, Prepare prepare, Done done) {
  const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4;
  typename P::Slice slices[2];
  int tile = blockIdx.x;
  typename P::Rows from = product.at(rows(tile, g), rows(tile, g + 8), warp);
  product.load(slices[0], from, warp, 0);
  prepare();
  int parity = 0;
  for (; tile < tiles; tile += gridDim.x) {
    float sums[4] = {};
#pragma unroll
    for (int i = 0; i < P::STEPS_EACH; i++) {
      if (i + 1 < P::STEPS_EACH) {
        product.load(slices[(i + 1) % 2], from, warp, i + 1);
      } else if (tile + gridDim.x < tiles) {
        from = product.at(rows(tile + gridDim.x, g), rows(tile + gridDim.x, g + 8), warp);
        product.load(slices[(i + 1) % 2], from, warp, 0);
      }
      product.add(slices[i % 2], warp, i, sums);
    }
    if (P::STEPS_EACH % 2) slices[0] = slices[1];
    scratch[(parity * WARPS + warp) * 32 + lane] = make_float4(sums[0], sums[1], sums[2], sums[3]);
    __syncthreads();
    if (warp == 0) {
      for (int w = 1; w < WARPS; w++) {
        const float4 more = scratch[(parity * WARPS + w) * 32 + lane];
        sums[0] += more.x;
        sums[1] += more.y;
        sums[2] += more.z;
        sums[3] += more.w;
      }
      done(tile, sums);
    }
    parity ^= 1;
  }
}
