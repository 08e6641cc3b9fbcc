// The rotation of the token `make` is given, of a lane's pairs of dimensions; what it takes is asked for at once.
template <int D>
struct Turn {
  static constexpr int HALF = D / 2, PAIRS = (HALF + 31) / 32;
  float cosine[PAIRS], sine[PAIRS], frequencies[PAIRS];
  int start;
  __device__ Turn(const float* frequency, const int* position) {
    start = ask<int>(position);
    for (int j = 0; j < PAIRS; j++) {
      frequencies[j] = ask<float>(frequency + min(int(threadIdx.x) + 32 * j, HALF - 1));
    }
  }
  __device__ void make(int token) {
    for (int j = 0; j < PAIRS; j++) {
      const float angle = float(start + token) * frequencies[j];
      cosine[j] = cosf(angle), sine[j] = sinf(angle);
    }
  }
};

// What follows the product in launch 1, of one token and one head by one warp: bias is in `values` [D] already; then the
// head's norm, the rotation, and q as floats or k and v as int8 rows.
template <int H, int HK, int D, bool HEAD_NORM, typename T>
__device__ inline void finish_head(const float* values, int m, int head, int tokens, const T* head_norm,
                                   const Turn<D>& turn, float eps, float* q, uint* rows) {
  constexpr int HALF = Turn<D>::HALF, PAIRS = Turn<D>::PAIRS;
  const int lane = threadIdx.x;
  const bool rotated = head < H + HK;
  float a[PAIRS], b[PAIRS], square = 0.0f;
  for (int j = 0; j < PAIRS; j++) {
    const int i = lane + 32 * j;
    a[j] = i < HALF ? values[i] : 0.0f;
    b[j] = i < HALF ? values[i + HALF] : 0.0f;
    square = fmaf(a[j], a[j], fmaf(b[j], b[j], square));
  }
  if (HEAD_NORM && rotated) {
    const float inverse = rsqrtf(fmaf(warp_sum(square), 1.0f / float(D), eps));
    for (int j = 0; j < PAIRS; j++) {
      const int i = min(lane + 32 * j, HALF - 1) + (head < H ? 0 : D);
      a[j] *= inverse * float(head_norm[i]);
      b[j] *= inverse * float(head_norm[i + HALF]);
    }
  }
  if (rotated) {
    for (int j = 0; j < PAIRS; j++) {
      const float c = turn.cosine[j], s = turn.sine[j];
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
