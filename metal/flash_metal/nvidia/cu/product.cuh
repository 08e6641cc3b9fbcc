// The products on matrix units: weights are the 16 x 16 operand, eight tokens the 8 columns of the other, so that a
// pass of 1 token and one of 64 are the same computation, column by column.
//
// A warp takes 16 rows and U groups of K at a time. Lane 4 g + t holds the words of rows g and
// g + 8 whose K belong to quarter t of a group, which lie side by side (tile.py): a load of a warp is some whole lines,
// where rows apart would be a line each, which the L1 cache looks up one by one. A field or-ed into the bits of a power of two is
// an exact 16-bit float, OFFSET + q, without a conversion; the sum of x over the group takes the
// offset out again: y += s sum((q + OFFSET) x) + (b - OFFSET s) sum(x). Eight bits are two planes
// of four.
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

__device__ constexpr int common(int a, int b) { return b ? common(b, a % b) : a; }

template <typename T, typename S, int M_, int K, int BITS, int GROUP, int SPLIT_, int U>
struct Product {
  static constexpr int M = M_, SPLIT = SPLIT_;
  static constexpr int TOKENS = M < 2 ? 2 : M;
  static constexpr int WORDS = GROUP * BITS / 128;  // of a lane, a row and a group
  static constexpr int UNITS = GROUP / 32;          // 16-byte units of x of a lane and a group
  static constexpr int PLANES = BITS / 4;
  static constexpr int GROUPS = K / GROUP;
  static constexpr int STEPS = (GROUPS + U - 1) / U;
  static constexpr int STEPS_EACH = (STEPS + SPLIT - 1) / SPLIT;
  static constexpr bool ALIGNED = GROUPS % U == 0;
  static constexpr int X = K / 8 * M;  // 16-byte units of staged x; behind them, its sums a group
  static constexpr int IMAGE = X + (GROUPS * TOKENS + 3) / 4;
  static constexpr int COLUMNS = TOKENS / 2, PART = 8 * COLUMNS;  // of a warp's sums of a tile, by lanes; those kept
  // Steps whose weights are in registers, the tiles after which a step has the same place among them again, and those
  // that are added up at a time.
  static constexpr int SLICES = M <= 2 && U == 2 ? 4 : 2;
  static constexpr int BATCH = SLICES / common(SLICES, STEPS_EACH);
  static constexpr int TOGETHER = M <= 2 ? 8 : M <= 4 ? 4 : 1, PARTS = 2 * TOGETHER * SPLIT * PART;

  struct Slice {
    uint w[U][2 * WORDS];  // of row g, then of row g + 8
    uint2 factors[U];      // scale and bias of row g, and of row g + 8
  };

  // A group's 16 rows as the matrix units take them.
  struct Operands {
    uint a[UNITS * 2 * PLANES][4];
    float scale[2], bias[2];
  };

  const uint* weight;
  const uint2* factors;

  // Where a lane's share of a tile begins.
  struct Place {
    const uint* words;
    const uint2* factors;
  };
  static constexpr int PIECE = 2 * WORDS < 4 ? 2 * WORDS : 4, PIECES = 2 * WORDS / PIECE;

  __device__ Place at(int tile, int share) const {
    const ulong group = ulong(tile) * GROUPS + share * U;
    return {weight + (group * PIECES * 32 + threadIdx.x) * PIECE, factors + group * 8 + threadIdx.x / 4};
  }

  // The i-th step of `share` of SPLIT.
  __device__ void load(Slice& s, const Place& place, int share, int i) const {
    each_group(share, i, [&](int, int u) {
      const int group = i * SPLIT * U + u;
#pragma unroll
      for (int p = 0; p < PIECES; p++) {
        const Words<PIECE> piece = stream<PIECE>(place.words + (group * PIECES + p) * 32 * PIECE);
#pragma unroll
        for (int e = 0; e < PIECE; e++) s.w[u][p * PIECE + e] = piece.w[e];
      }
      s.factors[u] = __ldg(place.factors + group * 8);
    });
  }

  // Calls use(group, u) for each group of a step.
  template <typename Use>
  __device__ static void each_group(int share, int i, Use use) {
    if (i * SPLIT + SPLIT > STEPS && i * SPLIT + share >= STEPS) return;
#pragma unroll
    for (int u = 0; u < U; u++) {
      const int group = (i * SPLIT + share) * U + u;
      if (!ALIGNED && group >= GROUPS) break;
      use(group, u);
    }
  }

  __device__ static Operands operands(const Slice& s, int u) {
    Operands w;
#pragma unroll
    for (int j = 0; j < UNITS; j++) {
#pragma unroll
      for (int h = 0; h < 2; h++) {
        const int word = BITS == 4 ? j : 2 * j + h;
        const uint p = s.w[u][word], q = s.w[u][WORDS + word];
#pragma unroll
        for (int plane = 0; plane < PLANES; plane++) {
          uint* a = w.a[(2 * j + h) * PLANES + plane];
          const int first = BITS == 4 ? 2 * h : plane, second = BITS == 4 ? 2 * h + 1 : plane + 2;
          a[0] = Fields<T>::pair(p, first), a[1] = Fields<T>::pair(q, first);
          a[2] = Fields<T>::pair(p, second), a[3] = Fields<T>::pair(q, second);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const float2 both = unpack2<S>(r == 0 ? s.factors[u].x : s.factors[u].y);
      w.scale[r] = both.x;
      w.bias[r] = fmaf(both.x, -(BITS == 8 ? 17.0f : 1.0f) * Fields<T>::OFFSET, both.y);
    }
    return w;
  }

  // Adds a group: v, the lane's UNITS of its token; all, the sums of x of tokens 2 t and 2 t + 1.
  // sums[0], [1]: row g, tokens 2 t and 2 t + 1; [2], [3]: row g + 8.
  __device__ static void add(const Operands& w, const uint4* v, float2 all, float* sums) {
    float planes[PLANES][4] = {};
#pragma unroll
    for (int j = 0; j < UNITS; j++) {
      const uint b[4] = {v[j].x, v[j].y, v[j].z, v[j].w};
#pragma unroll
      for (int h = 0; h < 2; h++) {
#pragma unroll
        for (int plane = 0; plane < PLANES; plane++) {
          const uint* a = w.a[(2 * j + h) * PLANES + plane];
          mma<T>(planes[plane], a[0], a[1], a[2], a[3], b[2 * h], b[2 * h + 1]);
        }
      }
    }
#pragma unroll
    for (int c = 0; c < 4; c += M == 1 ? 2 : 1) {
      const float sum = BITS == 8 ? fmaf(16.0f, planes[PLANES - 1][c], planes[0][c]) : planes[0][c];
      sums[c] = fmaf(w.scale[c / 2], sum, fmaf(w.bias[c / 2], c % 2 ? all.y : all.x, sums[c]));
    }
  }

  // Adds a step, of the x in shared memory. Columns beyond M repeat the others, and nobody reads their sums.
  __device__ static void add(const Slice& s, const uint4* x, int share, int i, float* sums) {
    const uint g = threadIdx.x / 4, t = threadIdx.x % 4;
    each_group(share, i, [&](int group, int u) {
      uint4 v[UNITS];
#pragma unroll
      for (int j = 0; j < UNITS; j++) {
        v[j] = x[at(group, j, g % M, t)];
      }
      const float2 all = *(const float2*)((const float*)(x + X) + group * TOKENS + 2 * t % TOKENS);
      add(operands(s, u), v, all, sums);
    });
  }

  // A warp's activations: those of its share of K, in units of eight. The e-th of them, or -1.
  static constexpr int STEP_UNITS = U * GROUP / 8, SHARE_UNITS = (STEPS_EACH * STEP_UNITS + 31) / 32 * 32;
  __device__ static int unit(int share, int e) {
    const int c = (e / STEP_UNITS * SPLIT + share) * STEP_UNITS + e % STEP_UNITS;
    return e < STEPS_EACH * STEP_UNITS && c < K / 8 ? c : -1;
  }

  // Where a column's j-th unit of quarter t of a group lies: those of a group together, as in memory, so that they are
  // copied by lines; the pairs of odd columns are swapped, so that a warp reads from all banks at a time.
  __device__ static int at(int group, int j, int m, int t) {
    return ((group * M + m) * 4 + t) * UNITS + (UNITS == 2 ? j ^ (m & 1) : j);
  }

  // Where unit c of column m lies.
  __device__ static int place(int m, int c) { return at(c / (GROUP / 8), c % UNITS, m, c % (GROUP / 8) / UNITS); }

  // A unit in the order in which `operands` takes the fields.
  __device__ static uint4 ordered(uint4 unit) {
    constexpr int ORDER[8] = {0, BITS == 4 ? 4 : 2, 1, BITS == 4 ? 5 : 3, BITS == 4 ? 2 : 4, 6, BITS == 4 ? 3 : 5, 7};
    const uint given[4] = {unit.x, unit.y, unit.z, unit.w};
    uint w[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const int one = ORDER[2 * i], other = ORDER[2 * i + 1];
      w[i] = __byte_perm(given[one / 2], given[other / 2], (one % 2 ? 0x32 : 0x10) | (other % 2 ? 0x7600 : 0x5400));
    }
    return make_uint4(w[0], w[1], w[2], w[3]);
  }

  // Makes the sums a group of N columns from `column` on, a step: products with ones. Their units are ordered already
  // (ORDERED), or get it here. The warp has to meet before it adds.
  template <int N, bool ORDERED>
  __device__ static void settle(uint4* x, int share, int i, int column) {
    const uint g = threadIdx.x / 4, t = threadIdx.x % 4, ones = pack<T>(1.0f, 1.0f);
    uint4 v[U][UNITS];
    __syncwarp();
    each_group(share, i, [&](int group, int u) {
#pragma unroll
      for (int j = 0; j < UNITS; j++) v[u][j] = x[at(group, j, column + g % N, t)];
    });
    __syncwarp();
    each_group(share, i, [&](int group, int u) {
      float sums[UNITS][4] = {};
#pragma unroll
      for (int j = 0; j < UNITS; j++) {
        const uint4 b = ORDERED ? v[u][j] : ordered(v[u][j]);
        if (!ORDERED && g < N) x[at(group, j, column + g, t)] = b;
        mma<T>(sums[j], ones, ones, ones, ones, b.x, b.y);
        mma<T>(sums[j], ones, ones, ones, ones, b.z, b.w);
      }
      float* all = (float*)(x + X) + group * TOKENS + column;
#pragma unroll
      for (int c = 0; c < 2; c++) {
#pragma unroll
        for (int j = 1; j < UNITS; j++) sums[0][c] += sums[j][c];
        if (g == 0 && 2 * t + c < N) all[2 * t + c] = sums[0][c];
      }
    });
  }

  // A warp's share, ordered.
  template <int N>
  __device__ static void settle(uint4* x, int column) {
#pragma unroll
    for (int i = 0; i < STEPS_EACH; i++) settle<N, true>(x, threadIdx.y, i, column);
    __syncwarp();
  }

  __device__ static void keep(float4* part, const float* sums) {
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
    if (t < COLUMNS) part[g * COLUMNS + t] = make_float4(sums[0], sums[1], sums[2], sums[3]);
  }

  // The sums of SPLIT parts, in their order.
  __device__ static void join(const float4* parts, float* sums) {
    const int g = threadIdx.x / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int w = 0; w < SPLIT; w++) {
      const float4 more = parts[w * PART + g * COLUMNS + t % COLUMNS];
      sums[0] = w ? sums[0] + more.x : more.x;
      sums[1] = w ? sums[1] + more.y : more.y;
      sums[2] = w ? sums[2] + more.z : more.z;
      sums[3] = w ? sums[3] + more.w : more.w;
    }
  }
};
