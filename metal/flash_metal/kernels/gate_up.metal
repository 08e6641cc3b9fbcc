// Launch 4. RMSNorm, the gate and up products, silu(gate) * up.
// A SIMD-group makes R rows of gate and the same R rows of up.
//
// x [M, K]; norm [K]; weight [2 N, K BITS/32], gate's rows then up's;
// scales and biases [2 N, K/GROUP]; eps [1]. y [M, N].
const uint lane = thread_index_in_simdgroup;
const uint row = (threadgroup_position_in_grid.x * SG + simdgroup_index_in_threadgroup) * R;

float gate[M * R] = {0.0f};
float up[M * R] = {0.0f};
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
  multiply<M, R, BITS, GROUP, K>(weight, scales, biases, row, c, v, gate);
  multiply<M, R, BITS, GROUP, K>(weight, scales, biases, row + N, c, v, up);
}
for (int m = 0; m < M; m++) {
  const float inverse = rsqrt(fma(simd_sum(squares[m]), 1.0f / float(K), eps[0]));
  for (int r = 0; r < R; r++) {
    const float g = simd_sum(gate[m * R + r]) * inverse;
    const float u = simd_sum(up[m * R + r]) * inverse;
    if (lane == 0) {
      y[m * N + row + r] = T(g / (1.0f + exp(-g)) * u);
    }
  }
}
