// Launch 1. RMSNorm, the q, k and v products with bias, RMSNorm of each q and k
// head, RoPE (pair i, i + D/2 in one lane), int8 quantization of k and v.
// One threadgroup makes one head of q, k or v for the M tokens of the pass.
//
// x [M, K]; norm [K]; weight [(H + 2 HK) D, K BITS/32]; scales and biases [.., K/GROUP];
// bias [(H + 2 HK) D] if BIAS; head_norm [2, D] (q's, k's) if HEAD_NORM;
// frequency [D/2], radians a position; position [1], of the first token; eps [1].
// q [M, H, D] float; rows [2, HK, M, D/4 + 1]: D bytes of k or v, then their scale.
const uint lane = thread_index_in_simdgroup;
const uint sg = simdgroup_index_in_threadgroup;
const uint head = threadgroup_position_in_grid.x;
threadgroup float heads[M * D];

for (uint first = sg * R; first < D; first += SG * R) {
  const uint row = head * D + first;
  float sums[M * R] = {0.0f};
  float squares[M] = {0.0f};
  for (uint c = lane; c < K / 8; c += 32) {
    float v[M * 8];
    for (int m = 0; m < M; m++) {
      load8(x + m * K + c * 8, v + m * 8);
      for (int i = 0; i < 8; i++) {
        squares[m] = fma(v[m * 8 + i], v[m * 8 + i], squares[m]);
        v[m * 8 + i] *= float(norm[c * 8 + i]);
      }
    }
    multiply<M, R, BITS, GROUP, K>(weight, scales, biases, row, c, v, sums);
  }
  for (int m = 0; m < M; m++) {
    const float inverse = rsqrt(fma(simd_sum(squares[m]), 1.0f / float(K), eps[0]));
    for (int r = 0; r < R; r++) {
      const float sum = simd_sum(sums[m * R + r]);
      if (lane == 0) {
        heads[m * D + first + r] = fma(sum, inverse, BIAS ? float(bias[row + r]) : 0.0f);
      }
    }
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

constexpr uint HALF = D / 2;
constexpr int PAIRS = (HALF + 31) / 32;
const bool rotated = head < H + HK;
for (uint m = sg; m < M; m += SG) {
  float a[PAIRS];
  float b[PAIRS];
  float square = 0.0f;
  for (int j = 0; j < PAIRS; j++) {
    const uint i = lane + 32 * j;
    a[j] = i < HALF ? heads[m * D + i] : 0.0f;
    b[j] = i < HALF ? heads[m * D + i + HALF] : 0.0f;
    square = fma(a[j], a[j], fma(b[j], b[j], square));
  }
  if (HEAD_NORM && rotated) {
    const float inverse = rsqrt(fma(simd_sum(square), 1.0f / float(D), eps[0]));
    for (int j = 0; j < PAIRS; j++) {
      const uint i = min(lane + 32 * j, HALF - 1) + (head < H ? 0 : D);
      a[j] *= inverse * float(head_norm[i]);
      b[j] *= inverse * float(head_norm[i + HALF]);
    }
  }
  if (rotated) {
    for (int j = 0; j < PAIRS; j++) {
      const float angle = float(position[0] + int(m)) * frequency[min(lane + 32 * j, HALF - 1)];
      const float c = cos(angle);
      const float s = sin(angle);
      const float left = fma(a[j], c, -b[j] * s);
      b[j] = fma(b[j], c, a[j] * s);
      a[j] = left;
    }
  }
  if (head < H) {
    for (int j = 0; j < PAIRS; j++) {
      const uint i = lane + 32 * j;
      if (i < HALF) {
        q[(m * H + head) * D + i] = a[j];
        q[(m * H + head) * D + i + HALF] = b[j];
      }
    }
  } else {
    float top = 0.0f;
    for (int j = 0; j < PAIRS; j++) {
      top = max(top, max(abs(a[j]), abs(b[j])));
    }
    top = simd_max(top);
    const float steps = top > 0.0f ? 127.0f / top : 0.0f;
    device uint32_t* row = rows + ((head - H) * M + m) * (D / 4 + 1);
    device int8_t* bytes = (device int8_t*)row;
    for (int j = 0; j < PAIRS; j++) {
      const uint i = lane + 32 * j;
      if (i < HALF) {
        bytes[i] = int8_t(rint(a[j] * steps));
        bytes[i + HALF] = int8_t(rint(b[j] * steps));
      }
    }
    if (lane == 0) {
      row[D / 4] = as_type<uint>(top / 127.0f);
    }
  }
}
