// What the texts use of Metal, in CUDA: SIMD-group = warp, threadgroup = block of
// 32 x n threads. Address-space words are taken out of the texts before.
#define thread_index_in_simdgroup threadIdx.x
#define simdgroup_index_in_threadgroup threadIdx.y
#define thread_index_in_threadgroup thread_number()
#define threadgroup_position_in_grid blockIdx
__device__ inline unsigned int thread_number() { return threadIdx.y * 32 + threadIdx.x; }
using uint = unsigned int;
using ulong = unsigned long;
using ushort = unsigned short;
template <typename T, int N>
struct alignas(sizeof(T) * N) vec {
  T v[N];
  __device__ T operator[](int i) const { return v[i]; }
};
template <typename To, typename From>
__device__ To as_type(From from) {
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}
enum class mem_flags { mem_threadgroup };
__device__ inline void threadgroup_barrier(mem_flags) { __syncthreads(); }
__device__ inline void simdgroup_barrier(mem_flags) { __syncwarp(); }
__device__ inline float simd_shuffle_xor(float x, ushort mask) { return __shfl_xor_sync(~0u, x, mask); }
__device__ inline float simd_sum(float x) {
  for (int i = 16; i > 0; i /= 2) {
    x += simd_shuffle_xor(x, i);
  }
  return x;
}
__device__ inline float simd_max(float x) {
  for (int i = 16; i > 0; i /= 2) {
    x = max(x, simd_shuffle_xor(x, i));
  }
  return x;
}
__device__ inline float clamp(float x, float low, float high) { return min(max(x, low), high); }
