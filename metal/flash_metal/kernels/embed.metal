// The embeddings of the pass's tokens. A lane makes eight values.
//
// tokens [M]; weight [V, K BITS/32]; scales and biases [V, K/GROUP]. y [M, K].
const uint c = threadgroup_position_in_grid.x * 32 + thread_index_in_simdgroup;
const uint m = threadgroup_position_in_grid.y;
if (c < K / 8) {
  const uint row = uint(tokens[m]);
  const float scale = float(scales[row * (K / GROUP) + c * 8 / GROUP]);
  const float bias = float(biases[row * (K / GROUP) + c * 8 / GROUP]);
  for (int w = 0; w < BITS / 4; w++) {
    float q[32 / BITS];
    unpack<BITS>(weight[row * (K * BITS / 32) + c * (BITS / 4) + w], 0.0f, q);
    for (int i = 0; i < 32 / BITS; i++) {
      y[m * K + c * 8 + w * (32 / BITS) + i] = T(fma(scale, q[i], bias));
    }
  }
}
