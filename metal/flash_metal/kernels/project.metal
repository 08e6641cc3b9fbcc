// Launch 3. The splits of attention joined, the output product, the residual.
// SPLIT SIMD-groups share the K of a block of R rows.
//
// parts [NS, M, H, D]; stats [NS, M, H, 2] float; weight [N, K BITS/32] (K = H D);
// scales and biases [N, K/GROUP]; residual [M, N]. y [M, N].
constexpr int K = H * D;
constexpr uint ROWS = SG / SPLIT * R;
threadgroup float shares[NS * M * H];
threadgroup float partial[SG * M * R];
const uint lane = thread_index_in_simdgroup;
const uint sg = simdgroup_index_in_threadgroup;
const uint id = thread_index_in_threadgroup;
const uint row = threadgroup_position_in_grid.x * ROWS + sg / SPLIT * R;

for (uint i = id; i < M * H; i += 32 * SG) {
  float highest = stats[2 * i];
  for (uint s = 1; s < NS; s++) {
    highest = max(highest, stats[2 * (s * M * H + i)]);
  }
  float all = 0.0f;
  for (uint s = 0; s < NS; s++) {
    const uint at = s * M * H + i;
    const float fade = exp2(stats[2 * at] - highest);
    shares[at] = stats[2 * at + 1] * fade;
    all = fma(stats[2 * at + 1], fade, all);
  }
  for (uint s = 0; s < NS; s++) {
    shares[s * M * H + i] /= all;
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

float sums[M * R] = {0.0f};
for (uint c = sg % SPLIT * 32 + lane; c < K / 8; c += 32 * SPLIT) {
  float v[M * 8] = {0.0f};
  for (int m = 0; m < M; m++) {
    for (uint s = 0; s < NS; s++) {
      float part[8];
      load8(parts + (s * M + m) * K + c * 8, part);
      const float share = shares[(s * M + m) * H + c * 8 / D];
      for (int i = 0; i < 8; i++) {
        v[m * 8 + i] = fma(share, part[i], v[m * 8 + i]);
      }
    }
  }
  multiply<M, R, BITS, GROUP, K>(weight, scales, biases, row, c, v, sums);
}
for (int i = 0; i < M * R; i++) {
  const float sum = simd_sum(sums[i]);
  if (lane == 0) {
    partial[sg * (M * R) + i] = sum;
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

for (uint i = id; i < M * ROWS; i += 32 * SG) {
  const uint m = i / ROWS;
  const uint r = i % ROWS;
  const uint n = threadgroup_position_in_grid.x * ROWS + r;
  float sum = 0.0f;
  for (uint s = 0; s < SPLIT; s++) {
    sum += partial[(r / R * SPLIT + s) * (M * R) + m * R + r % R];
  }
  y[m * N + n] = T(sum + float(residual[m * N + n]));
}
