// Launch 2. Attention over the int8 cache and the pass's own rows, before they
// are in the cache. Blocks of 32 absolute positions belong to SIMD-groups in
// turn, so a token's sums have one order whatever the pass and the history.
// A lane scores one key of the block; then it sums D/32 dimensions of the values.
// Threadgroup (kv head, split, tile of Q queries); query m G + g of a kv head is
// token m, head g of its group. A split's result is normalised; `stats` holds
// its largest score (in powers of two) and its sum.
//
// q [M, H, D] float; cache [layers, 2, HK, capacity, ROW]; fresh [2, HK, M, ROW];
// layer [1]; position [1]; scale [1], log2(e) times the model's.
// y [NS, M, H, D]; stats [NS, M, H, 2] float.
constexpr uint ROW = D / 4 + 1;
constexpr uint BLOCK = 32 * ROW;
constexpr int DIMS = D / 32;
constexpr uint G = H / HK;
threadgroup float queries[Q * D];
threadgroup uint stage[SG * BLOCK];
threadgroup float shares[SG * Q * 32];
threadgroup float tops[SG * Q];
threadgroup float totals[SG * Q];

const uint lane = thread_index_in_simdgroup;
const uint sg = simdgroup_index_in_threadgroup;
const uint id = thread_index_in_threadgroup;
threadgroup uint* mine = stage + sg * BLOCK;
threadgroup float* share = shares + sg * Q * 32;
const uint kv = threadgroup_position_in_grid.x;
const uint split = threadgroup_position_in_grid.y;
const uint first = threadgroup_position_in_grid.z * Q;
const uint start = uint(position[0]);
const uint end = start + (first + Q - 1) / G + 1;
const uint capacity = uint(cache_shape[3]);

for (uint e = id; e < Q * D; e += 32 * SG) {
  const uint query = first + e / D;
  queries[e] = q[((query / G) * H + kv * G + query % G) * D + e % D] * scale[0];
}
threadgroup_barrier(mem_flags::mem_threadgroup);

float top[Q];
float total[Q];
float sums[Q * DIMS] = {0.0f};
for (int n = 0; n < Q; n++) {
  top[n] = -1e30f;
  total[n] = 0.0f;
}
for (uint base = (split * SG + sg) * 32; base < end; base += NS * SG * 32) {
  float score[Q] = {0.0f};
  for (uint plane = 0; plane < 2; plane++) {
    const device uint32_t* old = cache + ulong((uint(layer[0]) * 2 + plane) * HK + kv) * capacity * ROW;
    const device uint32_t* made = fresh + (plane * HK + kv) * M * ROW;
    for (uint e = lane; e < BLOCK; e += 32) {
      const uint at = base * ROW + e;
      const uint past = at - start * ROW;
      mine[e] = at < start * ROW ? old[at] : past < M * ROW ? made[past] : 0u;
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
    const threadgroup uint* row = mine + lane * ROW;
    const float step = as_type<float>(row[D / 4]);
    if (plane == 0) {
      for (int w = 0; w < D / 4; w++) {
        float key[4];
        unpack<8>(row[w] ^ 0x80808080u, 128.0f, key);
        for (int n = 0; n < Q; n++) {
          for (int i = 0; i < 4; i++) {
            score[n] = fma(queries[n * D + 4 * w + i], key[i], score[n]);
          }
        }
      }
      for (int n = 0; n < Q; n++) {
        const bool visible = base + lane <= start + (first + n) / G;
        const float highest = max(top[n], simd_max(visible ? score[n] * step : -1e30f));
        const float fade = exp2(top[n] - highest);
        score[n] = visible ? exp2(fma(score[n], step, -highest)) : 0.0f;
        total[n] = fma(total[n], fade, simd_sum(score[n]));
        top[n] = highest;
        for (int i = 0; i < DIMS; i++) {
          sums[n * DIMS + i] *= fade;
        }
      }
    } else {
      for (int n = 0; n < Q; n++) {
        share[n * 32 + lane] = score[n] * step;
      }
      simdgroup_barrier(mem_flags::mem_threadgroup);
      const threadgroup int8_t* values = (const threadgroup int8_t*)mine;
      for (uint j = 0; j < 32; j++) {
        for (int i = 0; i < DIMS; i++) {
          const float value = float(values[j * ROW * 4 + i * 32 + lane]);
          for (int n = 0; n < Q; n++) {
            sums[n * DIMS + i] = fma(share[n * 32 + j], value, sums[n * DIMS + i]);
          }
        }
      }
    }
    simdgroup_barrier(mem_flags::mem_threadgroup);
  }
}

for (int n = 0; n < Q; n++) {
  for (int i = 0; i < DIMS; i++) {
    mine[n * D + i * 32 + lane] = as_type<uint>(sums[n * DIMS + i]);
  }
  if (lane == 0) {
    tops[sg * Q + n] = top[n];
    totals[sg * Q + n] = total[n];
  }
}
threadgroup_barrier(mem_flags::mem_threadgroup);

for (uint e = id; e < Q * D; e += 32 * SG) {
  const uint n = e / D;
  float highest = tops[n];
  for (uint s = 1; s < SG; s++) {
    highest = max(highest, tops[s * Q + n]);
  }
  float sum = 0.0f;
  float all = 0.0f;
  for (uint s = 0; s < SG; s++) {
    const float fade = exp2(tops[s * Q + n] - highest);
    all = fma(totals[s * Q + n], fade, all);
    sum = fma(as_type<float>(stage[s * BLOCK + e]), fade, sum);
  }
  const uint query = first + n;
  const uint out = (split * M + query / G) * H + kv * G + query % G;
  y[out * D + e % D] = T(all > 0.0f ? sum / all : 0.0f);
  if (e % D == 0) {
    stats[out * 2] = highest;
    stats[out * 2 + 1] = all;
  }
}
