// Pairs and rows of 16-bit floats, and the matrix units by type (see ptx.cuh).
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
__device__ inline float warp_sum(float x) {
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(~0u, x, i);
  return x;
}
__device__ inline float warp_max(float x) {
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(~0u, x, i));
  return x;
}

template <typename T>
__device__ inline void mma(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1);
template <>
__device__ inline void mma<half>(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {
  mma_half(d, a0, a1, a2, a3, b0, b1);
}
template <>
__device__ inline void mma<bfloat>(float* d, uint a0, uint a1, uint a2, uint a3, uint b0, uint b1) {
  mma_bfloat(d, a0, a1, a2, a3, b0, b1);
}
