// The inner step of the products, for eight values of K and M tokens.

// Eight activations as floats.
template <typename T>
inline void load8(const device T* x, thread float* values) {
  for (int h = 0; h < 2; h++) {
    const vec<T, 4> four = *(const device vec<T, 4>*)(x + 4 * h);
    for (int i = 0; i < 4; i++) {
      values[4 * h + i] = float(four[i]);
    }
  }
}

// sums[m * R + r] += x[m] . w[r] over eight values, in the same order for every
// M. w and affine (scale, bias) point at the first row's; a row is `words` and
// `groups` long.
template <int M, int R, int BITS, typename A>
inline void multiply(const device uint* w, const device A* affine, uint words, uint groups,
                     const thread float* x, thread float* sums) {
  for (int r = 0; r < R; r++) {
    const A scale_bias = affine[uint(r) * groups];
    float q[8];
    for (int i = 0; i < BITS / 4; i++) {
      unpack<BITS>(w[uint(r) * words + uint(i)], 0.0f, q + i * (32 / BITS));
    }
    for (int i = 0; i < 8; i++) {
      const float weight = fma(float(scale_bias[0]), q[i], float(scale_bias[1]));
      for (int m = 0; m < M; m++) {
        sums[m * R + r] = fma(x[m * 8 + i], weight, sums[m * R + r]);
      }
    }
  }
}
