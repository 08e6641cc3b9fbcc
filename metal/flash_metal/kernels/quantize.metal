// 16-bit weights to affine integers of BITS bits: value = scale q + bias.
// The rule is MLX's affine_quantize: the end of the range with the larger
// magnitude lies on the grid exactly, and so does zero. A lane makes eight
// values; GROUP / 8 neighbouring lanes share a group. Runs once, at load.
//
// x [N, K]. weight [N, K BITS/32]; scales and biases [N, K/GROUP].
constexpr uint LANES = GROUP / 8;
constexpr uint STEPS = (1u << BITS) - 1u;
const uint lane = thread_index_in_simdgroup;
const uint chunk = threadgroup_position_in_grid.x * 32 + lane;
float v[8];
load8(x + min(chunk, uint(N * (K / 8) - 1)) * 8, v);
float low = v[0];
float high = v[0];
for (int i = 1; i < 8; i++) {
  low = min(low, v[i]);
  high = max(high, v[i]);
}
for (uint other = 1; other < LANES; other *= 2) {
  low = min(low, simd_shuffle_xor(low, ushort(other)));
  high = max(high, simd_shuffle_xor(high, ushort(other)));
}
const bool from_low = abs(low) > abs(high);
const float edge = from_low ? low : high;
const float step = max((high - low) / float(STEPS), 1e-7f) * (from_low ? 1.0f : -1.0f);
const float zero = rint(edge / step);
const float scale = float(S(zero != 0.0f ? edge / zero : step));
const float bias = float(S(zero != 0.0f ? edge : 0.0f));
if (chunk < uint(N * (K / 8))) {
  for (int w = 0; w < BITS / 4; w++) {
    uint word = 0;
    for (int i = 0; i < 32 / BITS; i++) {
      const float level = rint((v[w * (32 / BITS) + i] - bias) / scale);
      word |= uint(clamp(level, 0.0f, float(STEPS))) << (BITS * i);
    }
    weight[chunk * (BITS / 4) + w] = word;
  }
  if (chunk % LANES == 0) {
    scales[chunk / LANES] = S(scale);
    biases[chunk / LANES] = S(bias);
  }
}
