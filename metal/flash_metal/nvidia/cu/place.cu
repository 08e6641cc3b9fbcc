// A pass's rows into the cache, in place; `next` is the position behind them. MLX does not know
// that the cache is written: what reads it later must take `next`, and so come after.
const int id = blockIdx.x * 128 + threadIdx.x, plane = blockIdx.y, size = tokens * row;
earlier();
if (id < size) ((uint*)cache)[(ulong(plane) * capacity + position[0]) * row + id] = rows[plane * size + id];
if (id < 4 && plane == 0) next[id] = position[0] + tokens;
