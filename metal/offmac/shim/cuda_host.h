// The CUDA texts on the CPU: what CUDA gives them, and the functions of ptx.cuh, in C++. Lanes are fibers of
// msl_rt.cpp; a block's shared memory is static, since blocks run one after another.
#pragma once
#include "msl_rt.h"
#include <cmath>
#include <cstdlib>
#include <cstring>
using uint = unsigned int;
using ulong = unsigned long;
using ushort = unsigned short;
using uchar = unsigned char;
using int8_t = signed char;
using int32_t = int;
using uint32_t = unsigned int;
using std::abs;
using std::fabs;
#define __device__
#define __global__
#define __shared__ static
#define __launch_bounds__(...)
#define __cluster_dims__(...)
struct alignas(8) uint2 { uint x, y; };
struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(16) uint4 { uint x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint4 make_uint4(uint x, uint y, uint z, uint w) { return {x, y, z, w}; }
struct Position { uint x, y, z; };
inline Position position_of(const unsigned* p) { return {p[0], p[1], p[2]}; }
#define threadIdx position_of(msl_rt_thread()->thread_position_in_threadgroup)
#define blockIdx position_of(msl_rt_thread()->threadgroup_position_in_grid)
#define gridDim position_of(msl_rt_thread()->threadgroups_per_grid)

template <typename To, typename From> To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
inline uint __float_as_uint(float x) { return bits_as<uint>(x); }
inline float __uint_as_float(uint x) { return bits_as<float>(x); }
template <typename T> T __ldg(const T* at) { return *at; }
inline uint __byte_perm(uint a, uint b, uint order) {
  const ulong both = ulong(b) << 32 | a;
  uint r = 0;
  for (int i = 0; i < 4; i++) r |= uint(both >> (order >> 4 * i & 7) * 8 & 255) << 8 * i;
  return r;
}
template <typename A, typename B> auto min(A a, B b) { return a < b ? a : b; }
template <typename A, typename B> auto max(A a, B b) { return a > b ? a : b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

#define __syncthreads() msl_rt_barrier(MSL_OP_TG_BARRIER, 1, __LINE__)
#define __syncwarp() msl_rt_barrier(MSL_OP_SIMD_BARRIER, 1, __LINE__)
template <typename T> T shuffle(T x, int lane, int line) {
  T all[32];
  msl_rt_exchange(MSL_OP_SHUFFLE, line, &x, sizeof x, all);
  return all[lane & 31];
}
#define __shfl_xor_sync(mask, x, other) shuffle(x, int(msl_rt_lane()) ^ int(other), __LINE__)
#define __shfl_sync(mask, x, lane) shuffle(x, lane, __LINE__)

inline ushort half_bits(float x) { return bits_as<ushort>(_Float16(x)); }
inline float half_value(ushort bits) { return float(bits_as<_Float16>(bits)); }
inline ushort bfloat_bits(float x) {
  const uint u = __float_as_uint(x);
  return ushort((u + 0x7fff + (u >> 16 & 1)) >> 16);
}
inline uint select(uint word, uint mask, uint bits) { return (word & mask) | bits; }
template <int WORDS> struct Words { uint w[WORDS]; };
template <int WORDS> Words<WORDS> stream(const uint* at) {
  if (ulong(at) % (4 * WORDS)) msl_rt_fail(__LINE__, "misaligned address of a vector");
  Words<WORDS> r;
  for (int i = 0; i < WORDS; i++) r.w[i] = at[i];
  return r;
}
template <typename V> V ask(const void* at) {
  if (ulong(at) % sizeof(V)) msl_rt_fail(__LINE__, "misaligned address of a vector");
  return *(const V*)at;
}
inline void copy16(uint* to, const uint* from) {
  if (ulong(to) % 16 || ulong(from) % 16) msl_rt_fail(__LINE__, "misaligned address of a copy");
  for (int i = 0; i < 4; i++) to[i] = from[i];
}
inline void copy4(uint* to, const uint* from, int bytes) { *to = bytes ? *from : 0; }
inline void copies_end() {}
template <int LEFT> void copies_wait() {}
inline void earlier() {}
inline void later() {}
template <int COUNT> void cluster_arrive() {}
template <int COUNT> void cluster_wait() {}
template <int COUNT> void cluster_meet() { __syncthreads(); }
// Blocks of a cluster have the same memory here, and its last one, which gets what is sent, runs last.
template <int COUNT> void send(float* to, float x) { *to = x; }

inline uint transpose(uint two, int line) {
  uint all[32];
  msl_rt_exchange(MSL_OP_SHUFFLE, line, &two, sizeof two, all);
  const int g = msl_rt_lane() / 4, t = msl_rt_lane() % 4;
  auto half = [&](int row) { return all[4 * row + g / 2] >> 16 * (g % 2) & 0xffff; };
  return half(2 * t) | half(2 * t + 1) << 16;
}
#define transposed(two) transpose(two, __LINE__)

// As mma.sync.m16n8k16: products of 16-bit floats are exact, summed here in the order of k.
template <typename Value>
void multiply(float* d, const uint (&mine)[6], Value value, int line) {
  uint all[32][6];
  msl_rt_exchange(MSL_OP_MATRIX, line, mine, sizeof mine, all);
  const int g = msl_rt_lane() / 4, t = msl_rt_lane() % 4;
  for (int r = 0; r < 2; r++) {
    for (int c = 0; c < 2; c++) {
      float sum = d[2 * r + c];
      for (int k = 0; k < 16; k++) {
        const uint a = all[4 * g + k % 8 / 2][2 * (k / 8) + r], b = all[4 * (2 * t + c) + k % 8 / 2][4 + k / 8];
        sum += value(ushort(k % 2 ? a >> 16 : a)) * value(ushort(k % 2 ? b >> 16 : b));
      }
      d[2 * r + c] = sum;
    }
  }
}
#define mma_half(d, ...) multiply(d, {__VA_ARGS__}, half_value, __LINE__)
#define mma_bfloat(d, ...) multiply(d, {__VA_ARGS__}, [](ushort b) { return __uint_as_float(uint(b) << 16); }, __LINE__)
