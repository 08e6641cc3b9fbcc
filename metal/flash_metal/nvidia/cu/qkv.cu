// A block makes one head of q, k or v; SPLIT warps share the K of a tile of 16 rows.
constexpr int SPLIT = WARPS / (D / 16);
extern __shared__ uint4 staged[];
__shared__ float4 scratch[WARPS * 32];
__shared__ float heads[M * D];
using P = Product<T, S, M, K, BITS, GROUP, SPLIT, U>;
const P product = {weight, scales, biases, staged};
const int lane = threadIdx.x, warp = threadIdx.y, head = blockIdx.x, g = lane / 4, t = lane % 4;
{
  const uint row = head * D + warp / SPLIT * 16 + g;
  const int share = warp % SPLIT;
  const typename P::Rows from = product.at(row, row + 8, share);
  typename P::Slice slices[3];
  product.load(slices[0], from, share, 0);
  if (P::STEPS_EACH > 1) product.load(slices[1], from, share, 1);
  stage_normed<P, T, M, K, WARPS>(staged, (float*)scratch, x, norm, eps[0], tokens);
  float sums[4] = {};
#pragma unroll
  for (int i = 0; i < P::STEPS_EACH; i++) {
    if (i + 2 < P::STEPS_EACH) product.load(slices[(i + 2) % 3], from, share, i + 2);
    product.add(slices[i % 3], share, i, sums);
  }
  scratch[warp * 32 + lane] = make_float4(sums[0], sums[1], sums[2], sums[3]);
  __syncthreads();
  if (warp % SPLIT == 0) {
    for (int w = 1; w < SPLIT; w++) {
      const float4 more = scratch[(warp + w) * 32 + lane];
      sums[0] += more.x;
      sums[1] += more.y;
      sums[2] += more.z;
      sums[3] += more.w;
    }
    for (int i = 0; i < 4; i++) {
      const int m = 2 * t + i % 2, d = warp / SPLIT * 16 + g + i / 2 * 8;
      if (m < tokens) heads[m * D + d] = sums[i] + (BIAS ? float(bias[head * D + d]) : 0.0f);
    }
  }
  __syncthreads();
}
constexpr int HALF = D / 2;
constexpr int PAIRS = (HALF + 31) / 32;
const bool rotated = head < H + HK;
for (int m = warp; m < tokens; m += WARPS) {
  float a[PAIRS], b[PAIRS], square = 0.0f;
  for (int j = 0; j < PAIRS; j++) {
    const int i = lane + 32 * j;
    a[j] = i < HALF ? heads[m * D + i] : 0.0f;
    b[j] = i < HALF ? heads[m * D + i + HALF] : 0.0f;
    square = fmaf(a[j], a[j], fmaf(b[j], b[j], square));
  }
  if (HEAD_NORM && rotated) {
    const float inverse = rsqrtf(fmaf(warp_sum(square), 1.0f / float(D), eps[0]));
    for (int j = 0; j < PAIRS; j++) {
      const int i = min(lane + 32 * j, HALF - 1) + (head < H ? 0 : D);
      a[j] *= inverse * float(head_norm[i]);
      b[j] *= inverse * float(head_norm[i + HALF]);
    }
  }
  if (rotated) {
    for (int j = 0; j < PAIRS; j++) {
      const float angle = float(position[0] + m) * frequency[min(lane + 32 * j, HALF - 1)];
      const float c = cosf(angle), s = sinf(angle);
      const float left = fmaf(a[j], c, -b[j] * s);
      b[j] = fmaf(b[j], c, a[j] * s);
      a[j] = left;
    }
  }
  if (head < H) {
    for (int j = 0; j < PAIRS; j++) {
      const int i = lane + 32 * j;
      if (i < HALF) {
        q[(m * H + head) * D + i] = a[j];
        q[(m * H + head) * D + i + HALF] = b[j];
      }
    }
  } else {
    float top = 0.0f;
    for (int j = 0; j < PAIRS; j++) top = fmaxf(top, fmaxf(fabsf(a[j]), fabsf(b[j])));
    top = warp_max(top);
    const float steps = top > 0.0f ? 127.0f / top : 0.0f;
    uint* row = rows + ((head - H) * tokens + m) * (D / 4 + 1);
    int8_t* bytes = (int8_t*)row;
    for (int j = 0; j < PAIRS; j++) {
      const int i = lane + 32 * j;
      if (i < HALF) {
        bytes[i] = int8_t(rintf(a[j] * steps));
        bytes[i + HALF] = int8_t(rintf(b[j] * steps));
      }
    }
    if (lane == 0) row[D / 4] = __float_as_uint(top / 127.0f);
  }
}
