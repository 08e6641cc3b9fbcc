// Pairs and rows of 16-bit floats, and the matrix units.
template <typename T>
__device__ inline uint pack(float low, float high) {
  return uint(T(low).bits) | uint(T(high).bits) << 16;
}
template <typename T>
__device__ inline float2 unpack2(uint two) {
  T low, high;
  low.bits = ushort(two);
  high.bits = ushort(two >> 16);
  return make_float2(float(low), float(high));
}
template <typename T>
__device__ inline void load8(const T* x, float* v) {
  const uint4 four = *(const uint4*)x;
  const uint words[4] = {four.x, four.y, four.z, four.w};
  for (int i = 0; i < 4; i++) {
    const float2 two = unpack2<T>(words[i]);
    v[2 * i] = two.x;
    v[2 * i + 1] = two.y;
  }
}

__device__ inline float warp_sum(float x) {
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(~0u, x, i);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
  return x;
}

// d += a b: a 16 x 16 (row g and g + 8 of lane 4 g + t), b 16 x 8 (column g), d 16 x 8
// (rows g, g + 8, columns 2 t, 2 t + 1).
template <typename T>
__device__ inline void mma(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1);
#define MMA(T, NAME)                                                                      \
  template <>                                                                             \
  __device__ inline void mma<T>(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) { \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." NAME "." NAME ".f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};" \
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                  \
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));                          \
  }
MMA(half, "f16")
MMA(bfloat, "bf16")
