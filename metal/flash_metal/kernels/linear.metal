// Launch 5, the down product plus the residual (RESIDUAL); and the vocabulary
// projection of the normed last rows (NORM). SPLIT SIMD-groups share the K of a
// block of R rows.
//
// x [M, K]; weight [N, K BITS/32]; scales and biases [N, K/GROUP]; norm [K] and eps [1] if
// NORM; residual [M, N] if RESIDUAL. y [M, N], of type Y.
constexpr uint ROWS = SG / SPLIT * R;
threadgroup float partial[SG * M * R];
threadgroup float square[SG * M];
const uint lane = thread_index_in_simdgroup;
const uint sg = simdgroup_index_in_threadgroup;
const uint row = threadgroup_position_in_grid.x * ROWS + sg / SPLIT * R;

float sums[M * R] = {0.0f};
float squares[M] = {0.0f};
for (uint c = sg % SPLIT * 32 + lane; c < K / 8; c += 32 * SPLIT) {
  float v[M * 8];
  for (int m = 0; m < M; m++) {
    load8(x + m * K + c * 8, v + m * 8);
    if (NORM) {
      for (int i = 0; i < 8; i++) {
        squares[m] = fma(v[m * 8 + i], v[m * 8 + i], squares[m]);
        v[m * 8 + i] *= float(norm[c * 8 + i]);
      }
    }
  }
  multiply<M, R, BITS, GROUP, K>(weight, scales, biases, row, c, v, sums);
}
for (int m = 0; m < M; m++) {
  const float all = simd_sum(squares[m]);
  if (lane == 0) {
    square[sg * M + m] = all;
  }
  for (int r = 0; r < R; r++) {
    const float sum = simd_sum(sums[m * R + r]);
    if (lane == 0) {
      partial[sg * (M * R) + m * R + r] = sum;
    }
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

for (uint i = thread_index_in_threadgroup; i < M * ROWS; i += 32 * SG) {
  const uint m = i / ROWS;
  const uint r = i % ROWS;
  const uint n = threadgroup_position_in_grid.x * ROWS + r;
  float sum = 0.0f;
  float all = 0.0f;
  for (uint s = 0; s < SPLIT; s++) {
    const uint from = r / R * SPLIT + s;
    sum += partial[from * (M * R) + m * R + r % R];
    all += square[from * M + m];
  }
  const float inverse = NORM ? rsqrt(fma(all, 1.0f / float(K), float(eps[0]))) : 1.0f;
  y[m * N + n] = Y(fma(sum, inverse, RESIDUAL ? float(residual[m * N + n]) : 0.0f));
}
