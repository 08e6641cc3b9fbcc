// The most likely token after each of the pass's, of the vocabulary that `position` holds last, the lowest of equals, and
// its log-probability; the last one and the position behind the pass become those of the next pass. A block a token.
constexpr int WARPS = 32;
__shared__ float tops[WARPS], totals[WARPS];
__shared__ int places[WARPS];
const int m = blockIdx.x, id = threadIdx.x, warp = id / 32;
earlier();
const int vocabulary = position[3];
const float* row = logits + ulong(m) * width;
float top = __uint_as_float(0xff800000u);
int place = 0;
for (int i = id; i < vocabulary; i += WARPS * 32) {
  if (row[i] > top) {
    top = row[i];
    place = i;
  }
}
auto better = [&](float other, int at) {
  if (other > top || (other == top && at < place)) {
    top = other;
    place = at;
  }
};
for (int i = 16; i > 0; i /= 2) {
  const float other = __shfl_xor_sync(~0u, top, i);
  const int at = __shfl_xor_sync(~0u, place, i);
  better(other, at);
}
if (id % 32 == 0) {
  tops[warp] = top;
  places[warp] = place;
}
__syncthreads();
for (int w = 0; w < WARPS; w++) better(tops[w], places[w]);
float total = 0.0f;
for (int i = id; i < vocabulary; i += WARPS * 32) total += expf(row[i] - top);
for (int i = 16; i > 0; i /= 2) total += __shfl_xor_sync(~0u, total, i);
if (id % 32 == 0) totals[warp] = total;
__syncthreads();
if (id == 0) {
  float all = 0.0f;
  for (int w = 0; w < WARPS; w++) all += totals[w];
  const int slot = (next[0] - tokens + m) % 16;
  chosen[slot] = place;
  ((float*)chosen)[16 + slot] = -logf(all);
  if (m == tokens - 1) ids[0] = place;
}
if (m == 0 && id < 3) position[id] = next[0];
