// The most likely token after each of the pass's, of the vocabulary that `position` holds last, the lowest of equals, and
// its log-probability; the last one and the position behind the pass become those of the next pass. A cluster of SHARES
// blocks a token, each of which has a part of the vocabulary; the last one joins what they found.
constexpr int WARPS = 32, THREADS = WARPS * 32;
__shared__ float tops[WARPS], totals[WARPS], found[3 * SHARES];
__shared__ int places[WARPS];
const int share = blockIdx.x % SHARES, m = blockIdx.x / SHARES, id = threadIdx.x, warp = id / 32;
const int part = (width + SHARES - 1) / SHARES, begin = share * part;
cluster_arrive<SHARES>();
earlier();
const int end = min(begin + part, position[3]);
const float* row = logits + ulong(m) * width;
float top = __uint_as_float(0xff800000u);
int place = begin;
auto better = [&](float other, int at) {
  if (other > top || (other == top && at < place)) {
    top = other;
    place = at;
  }
};
for (int i = begin + id; i < end; i += THREADS) {
  if (row[i] > top) {
    top = row[i];
    place = i;
  }
}
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
for (int i = begin + id; i < end; i += THREADS) total += expf(row[i] - top);
for (int i = 16; i > 0; i /= 2) total += __shfl_xor_sync(~0u, total, i);
if (id % 32 == 0) totals[warp] = total;
__syncthreads();
cluster_wait<SHARES>();
if (id == 0) {
  float all = 0.0f;
  for (int w = 0; w < WARPS; w++) all += totals[w];
  send<SHARES>(found + share, top);
  send<SHARES>(found + SHARES + share, __uint_as_float(uint(place)));
  send<SHARES>(found + 2 * SHARES + share, all);
}
cluster_meet<SHARES>();
if (id == 0 && share == SHARES - 1) {
  for (int s = 0; s < SHARES; s++) better(found[s], int(__float_as_uint(found[SHARES + s])));
  float all = 0.0f;
  for (int s = 0; s < SHARES; s++) all = fmaf(found[2 * SHARES + s], expf(found[s] - top), all);
  const int slot = (next[0] - tokens + m) % 16;
  chosen[slot] = place;
  ((float*)chosen)[16 + slot] = -logf(all);
  if (m == tokens - 1) ids[0] = place;
}
if (blockIdx.x == 0 && id < 3) position[id] = next[0];
