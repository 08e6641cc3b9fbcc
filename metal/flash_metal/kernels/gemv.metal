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

// sums[m * R + r] += x[m] . row (row + r) of weight, over the eight values of K at
// 8 c; in the same order for every M.
template <int M, int R, int BITS, int GROUP, int K, typename S>
inline void multiply(const device uint* weight, const device S* scales, const device S* biases,
                     uint row, uint c, const thread float* x, thread float* sums) {
  for (uint r = 0; r < R; r++) {
    const device uint* words = weight + (row + r) * (K * BITS / 32) + c * (BITS / 4);
    const uint group = (row + r) * (K / GROUP) + c * 8 / GROUP;
    const float scale = float(scales[group]);
    const float bias = float(biases[group]);
    float q[8];
    for (int i = 0; i < BITS / 4; i++) {
      unpack<BITS>(words[i], 0.0f, q + i * (32 / BITS));
    }
    for (int i = 0; i < 8; i++) {
      const float value = fma(scale, q[i], bias);
      for (int m = 0; m < M; m++) {
        sums[m * R + r] = fma(x[m * 8 + i], value, sums[m * R + r]);
      }
    }
  }
}
