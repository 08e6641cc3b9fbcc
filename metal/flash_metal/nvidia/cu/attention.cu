// Attention on matrix units, eight queries at a time. Blocks of 32 absolute positions belong to splits in turn, and to the
// warps of these, so a token's sums have one order whatever the pass.
// A warp's scores are 32 keys (two tiles of 16 rows) times q; the shares, transposed, are the right operand of the product
// of the values. Integers are halves with OFFSET on them, exact, which is taken out of the sums: it came in as often as
// they have q, or shares. A row's scale goes into the score, or into the share. Dimensions and keys are taken in the order
// in which shared memory gives them best.
constexpr float OFFSET = 1024.0f + 128.0f;
constexpr int ROW = D / 4 + 1;
constexpr int BLOCK = 32 * ROW;
constexpr int G = H / HK;
constexpr int STEPS = D / 16;
constexpr int DIMS = D / 32;
extern __shared__ uint4 staged[];
__shared__ float tops[WARPS * 8], totals[WARPS * 8];
const int lane = threadIdx.x, warp = threadIdx.y, g = lane / 4, t = lane % 4;
const int kv = blockIdx.x % HK, split = blockIdx.x / HK % NS, first = blockIdx.x / (HK * NS) * 8;
const int queries = tokens * G, start = position[0];
if (first >= queries) {
  later();
  earlier();
  return;
}
const int end = start + (min(first + 8, queries) - 1) / G + 1;
uint* mine = (uint*)staged + warp * 2 * BLOCK;
const ulong plane = ulong(HK) * capacity * ROW;  // of a layer's keys or values
const uint* const kept = cache + layer[0] * 2 * plane + ulong(kv) * capacity * ROW;

// The n-th block of this warp: keys and values in turn.
auto place = [&](int n) { return ((n / 2 * WARPS + warp) * NS + split) * 32; };
auto slot = [&](int n) { return mine + n % 2 * BLOCK; };
// What earlier passes left of the n-th block, which need not be waited for, and what this one made.
auto fetch_left = [&](int n) {
  const int base = place(n), words = (min(base + 32, start) - base) * ROW;
  uint* to = slot(n);
  const uint* from = kept + n % 2 * plane + ulong(base) * ROW;
  const int lines = (ulong(from) & 15) == 0 ? words / 4 : 0;
  for (int e = lane; e < lines; e += 32) copy16(to + 4 * e, from + 4 * e);
#pragma unroll 1
  for (int e = lines * 4 + lane; e < words; e += 32) copy4(to + e, from + e, 4);
};
auto fetch_made = [&](int n, int planes) {  // two: of keys n, and the values
  const int base = place(n), begin = max(start - base, 0), made = min(base + 32, start + tokens) - base - begin;
  const uint* from = fresh + ((n % 2 * HK + kv) * tokens + base + begin - start) * ROW;
  uint* to = slot(n) + begin * ROW;
#pragma unroll 1
  for (int e = lane; e < made * ROW; e += 32) {
    for (int p = 0; p < planes; p++) copy4(to + p * BLOCK + e, from + p * HK * tokens * ROW + e, 4);
  }
};
auto fetch = [&](int n) {
  fetch_left(n);
  fetch_made(n, 1);
  copies_end();
};
// For the older of the blocks under way, or, where this pass made some of it, for both.
auto wait = [&](int base) {
  if (base + 32 > start) {
    copies_end();
    copies_wait<0>();
  } else {
    copies_wait<1>();
  }
  __syncwarp();
};
// Two int8 of a word, which has its signs turned, by `order` of prmt: OFFSET more, as halves.
auto halves = [](uint word, uint order) { return __byte_perm(word, 0x64646464u, order); };
const uint ones = pack<half>(1.0f, 1.0f);

for (int n = 0; n < 2; n++) {
  fetch_left(n);
  copies_end();
}
const float factor = scale[0];
later();
earlier();
fetch_made(0, 2);
const int query = first + g;
const bool real = query < queries;
uint b[STEPS][2];
float shift[4] = {};  // of queries 2 t and 2 t + 1, the sum
#pragma unroll
for (int s = 0; s < STEPS; s++) {
  float v[4] = {};
  if (real) {
    const float4 four = *(const float4*)(q + ((query / G) * H + kv * G + query % G) * D + 4 * (t * STEPS + s));
    v[0] = four.x * factor, v[1] = four.y * factor, v[2] = four.z * factor, v[3] = four.w * factor;
  }
  b[s][0] = pack<half>(v[0], v[1]);
  b[s][1] = pack<half>(v[2], v[3]);
  mma<half>(shift, ones, ones, ones, ones, b[s][0], b[s][1]);
}
const int last[2] = {start + (first + 2 * t) / G, start + (first + 2 * t + 1) / G};
float top[2] = {-1e30f, -1e30f}, total[2] = {};
float sums[DIMS * 2][4] = {}, shares[4] = {};
for (int turn = 0; place(turn) < end; turn += 2) {
  const int base = place(turn);
  wait(base);
  const uint* keys = slot(turn);
  float chains[2][2][4] = {}, score[2][4];  // of keys 16 n + 8 r + g: r, query 2 t + c
#pragma unroll
  for (int s = 0; s < STEPS; s++) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const uint* at = keys + (16 * n + g) * ROW + t * STEPS + s;
      const uint low = at[0] ^ 0x80808080u, high = at[8 * ROW] ^ 0x80808080u;
      mma<half>(chains[s % 2][n], halves(low, 0x4140), halves(high, 0x4140), halves(low, 0x4342), halves(high, 0x4342),
                b[s][0], b[s][1]);
    }
  }
  float highest[2] = {top[0], top[1]}, fade[2];
#pragma unroll
  for (int i = 0; i < 8; i++) {
    const int key = 8 * (i / 2) + g, c = i % 2;
    float& one = score[i / 4][i % 4];
    one = chains[0][i / 4][i % 4] + chains[1][i / 4][i % 4];
    const bool visible = base + key <= last[c];
    one = visible ? fmaf(-OFFSET, shift[c], one) * __uint_as_float(keys[key * ROW + D / 4]) : -1e30f;
    highest[c] = fmaxf(highest[c], one);
  }
#pragma unroll
  for (int c = 0; c < 2; c++) {
    for (int i = 4; i < 32; i *= 2) highest[c] = fmaxf(highest[c], __shfl_xor_sync(~0u, highest[c], i));
    fade[c] = exp2f(top[c] - highest[c]);
    top[c] = highest[c];
  }
  __syncwarp();
  fetch(turn + 2);
  wait(base);
  const uint* values = slot(turn + 1);
  float sum[2] = {};
  uint share[4];
#pragma unroll
  for (int n = 0; n < 4; n++) {
    const int key = 8 * n + g;
    float p[2];
    for (int c = 0; c < 2; c++) {
      const bool visible = base + key <= last[c];
      const float weight = visible ? exp2f(score[n / 2][n % 2 * 2 + c] - highest[c]) : 0.0f;
      sum[c] += weight;
      p[c] = visible ? weight * __uint_as_float(values[key * ROW + D / 4]) : 0.0f;
    }
    share[n] = transposed(pack<half>(p[0], p[1]));
  }
#pragma unroll
  for (int c = 0; c < 2; c++) {
    for (int i = 4; i < 32; i *= 2) sum[c] += __shfl_xor_sync(~0u, sum[c], i);
    total[c] = fmaf(total[c], fade[c], sum[c]);
  }
#pragma unroll
  for (int i = 0; i < 4; i++) {
    for (int n = 0; n < DIMS * 2; n++) sums[n][i] *= fade[i % 2];
    shares[i] *= fade[i % 2];
  }
#pragma unroll
  for (int k = 0; k < 2; k++) {
    mma<half>(shares, ones, ones, ones, ones, share[2 * k], share[2 * k + 1]);
#pragma unroll
    for (int i = 0; i < DIMS; i++) {
      const uint* at = values + (16 * k + 2 * t) * ROW + g * DIMS + i;
      const uint k0 = at[0] ^ 0x80808080u, k1 = at[ROW] ^ 0x80808080u;
      const uint k8 = at[8 * ROW] ^ 0x80808080u, k9 = at[9 * ROW] ^ 0x80808080u;
      const uint pairs[4] = {__byte_perm(k0, k1, 0x5140), __byte_perm(k0, k1, 0x7362), __byte_perm(k8, k9, 0x5140),
                             __byte_perm(k8, k9, 0x7362)};
#pragma unroll
      for (int d = 0; d < 2; d++) {
        mma<half>(sums[i * 2 + d], halves(pairs[d], 0x4140), halves(pairs[d], 0x4342), halves(pairs[2 + d], 0x4140),
                  halves(pairs[2 + d], 0x4342), share[2 * k], share[2 * k + 1]);
      }
    }
  }
  __syncwarp();
  fetch(turn + 3);
}
copies_wait<0>();
__syncthreads();
// Column 2 t + c of tile (i, d) is query 2 t + c; rows g and g + 8 are the dimensions 4 (g DIMS + i) + 2 d, + 1.
float* joined = (float*)staged;
for (int c = 0; c < 2; c++) {
  if (first + 2 * t + c >= queries) continue;
  const float less = OFFSET * shares[c];
  for (int i = 0; i < DIMS; i++) {
    *(float4*)(joined + (warp * 8 + 2 * t + c) * D + 4 * (g * DIMS + i)) =
        make_float4(sums[2 * i][c] - less, sums[2 * i][c + 2] - less, sums[2 * i + 1][c] - less,
                    sums[2 * i + 1][c + 2] - less);
  }
  if (g == 0) {
    tops[warp * 8 + 2 * t + c] = top[c];
    totals[warp * 8 + 2 * t + c] = total[c];
  }
}
__syncthreads();
for (int e = warp * 32 + lane; e < min(8, queries - first) * D; e += WARPS * 32) {
  const int n = e / D;
  float highest = tops[n];
  for (int w = 1; w < WARPS; w++) highest = fmaxf(highest, tops[w * 8 + n]);
  float sum = 0.0f, all = 0.0f;
  for (int w = 0; w < WARPS; w++) {
    const float fade = exp2f(tops[w * 8 + n] - highest);
    all = fmaf(totals[w * 8 + n], fade, all);
    sum = fmaf(joined[w * 8 * D + e], fade, sum);
  }
  const int one = first + n;
  const int out = (split * tokens + one / G) * H + kv * G + one % G;
  y[out * D + e % D] = T(all > 0.0f ? sum / all : 0.0f);
  if (e % D == 0) {
    stats[out * 2] = highest;
    stats[out * 2 + 1] = all;
  }
}
