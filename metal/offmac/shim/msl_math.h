// Metal's functions of numbers: math, comparison, integers; and its constants.
#pragma once
#include "msl_types.h"

namespace metal {
// name, expression of x (and y); `fast::` and `precise::` are the same here
#define MSL_UNARY_LIST(X) \
  X(exp, __builtin_expf(x)) \
  X(exp2, __builtin_exp2f(x)) \
  X(exp10, __builtin_exp10f(x)) \
  X(log, __builtin_logf(x)) \
  X(log2, __builtin_log2f(x)) \
  X(log10, __builtin_log10f(x)) \
  X(sin, __builtin_sinf(x)) \
  X(cos, __builtin_cosf(x)) \
  X(tan, __builtin_tanf(x)) \
  X(sinh, __builtin_sinhf(x)) \
  X(cosh, __builtin_coshf(x)) \
  X(tanh, __builtin_tanhf(x)) \
  X(asin, __builtin_asinf(x)) \
  X(acos, __builtin_acosf(x)) \
  X(atan, __builtin_atanf(x)) \
  X(asinh, __builtin_asinhf(x)) \
  X(acosh, __builtin_acoshf(x)) \
  X(atanh, __builtin_atanhf(x)) \
  X(sqrt, __builtin_sqrtf(x)) \
  X(rsqrt, 1.0f / __builtin_sqrtf(x)) \
  X(fabs, __builtin_fabsf(x)) \
  X(floor, __builtin_floorf(x)) \
  X(ceil, __builtin_ceilf(x)) \
  X(rint, __builtin_rintf(x)) \
  X(round, __builtin_roundf(x)) \
  X(trunc, __builtin_truncf(x)) \
  X(fract, x - __builtin_floorf(x)) \
  X(sign, (x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f)) \
  X(saturate, (x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x))
#define MSL_BINARY_LIST(X) \
  X(pow, __builtin_powf(x, y)) \
  X(powr, __builtin_powf(x, y)) \
  X(atan2, __builtin_atan2f(x, y)) \
  X(fmod, __builtin_fmodf(x, y)) \
  X(fmin, __builtin_fminf(x, y)) \
  X(fmax, __builtin_fmaxf(x, y)) \
  X(copysign, __builtin_copysignf(x, y)) \
  X(fdim, __builtin_fdimf(x, y)) \
  X(divide, x / y) \
  X(step, (y < x ? 0.0f : 1.0f))

#define MSL_V1(name) \
  template <class T, int N> \
  MSL_FN enable_if_t<is_floating_point_v<T>, vec<T, N>> name(vec<T, N> x) { \
    vec<T, N> r; \
    for (int i = 0; i < N; i++) r.v[i] = name(x.v[i]); \
    return r; \
  }
#define MSL_V2(name) \
  template <class T, int N> \
  MSL_FN vec<T, N> name(vec<T, N> x, vec<T, N> y) { \
    vec<T, N> r; \
    for (int i = 0; i < N; i++) r.v[i] = name(x.v[i], y.v[i]); \
    return r; \
  }
#define MSL_U(name, e) \
  MSL_FN float name(float x) { return e; } \
  MSL_FN half name(half x_) { \
    float x = float(x_); \
    return half(e); \
  } \
  MSL_V1(name)
#define MSL_B(name, e) \
  MSL_FN float name(float x, float y) { return e; } \
  MSL_FN half name(half x_, half y_) { \
    float x = float(x_), y = float(y_); \
    return half(e); \
  } \
  MSL_V2(name)
                            MSL_UNARY_LIST(MSL_U) MSL_BINARY_LIST(MSL_B)
#undef MSL_U
#undef MSL_B
                                namespace precise {
#define MSL_U(name, e) \
  MSL_FN float name(float x) { return e; } \
  MSL_V1(name)
#define MSL_B(name, e) \
  MSL_FN float name(float x, float y) { return e; } \
  MSL_V2(name)
  MSL_UNARY_LIST(MSL_U) MSL_BINARY_LIST(MSL_B)
#undef MSL_U
#undef MSL_B
}
namespace fast {
#define MSL_U(name, e) \
  MSL_FN float name(float x) { return e; } \
  MSL_V1(name)
#define MSL_B(name, e) \
  MSL_FN float name(float x, float y) { return e; } \
  MSL_V2(name)
MSL_UNARY_LIST(MSL_U) MSL_BINARY_LIST(MSL_B)
#undef MSL_U
#undef MSL_B
}  // namespace fast
MSL_FN float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MSL_FN half fma(half a, half b, half c) { return half(__builtin_fmaf(float(a), float(b), float(c))); }
template <class T, int N>
MSL_FN vec<T, N> fma(vec<T, N> a, vec<T, N> b, vec<T, N> c) {
  vec<T, N> r;
  for (int i = 0; i < N; i++) r.v[i] = fma(a.v[i], b.v[i], c.v[i]);
  return r;
}
MSL_FN bool isnan(float x) { return x != x; }
MSL_FN bool isnan(half x) { return float(x) != float(x); }
MSL_FN bool isinf(float x) { return x == __builtin_inff() || x == -__builtin_inff(); }
MSL_FN bool isinf(half x) { return isinf(float(x)); }
MSL_FN bool isfinite(float x) { return !isnan(x) && !isinf(x); }
MSL_FN bool isfinite(half x) { return isfinite(float(x)); }
MSL_FN bool signbit(float x) { return (as_type<uint>(x) >> 31) != 0; }
MSL_FN float ldexp(float x, int k) { return __builtin_ldexpf(x, k); }
MSL_FN float frexp(float x, int& k) { return __builtin_frexpf(x, &k); }
MSL_FN float mix(float x, float y, float a) { return x + (y - x) * a; }
MSL_FN half mix(half x, half y, half a) { return half(x + (y - x) * a); }

// min/max/clamp/abs: one overload per type, as Metal has. Mixed operands (int
// and uint, half and float, ...) are then ambiguous here as they are there.
#define MSL_MM(T) \
  MSL_FN constexpr T min(T a, T b) { return b < a ? b : a; } \
  MSL_FN constexpr T max(T a, T b) { return a < b ? b : a; } \
  MSL_FN constexpr T clamp(T x, T lo, T hi) { return x < lo ? lo : hi < x ? hi : x; } \
  MSL_FN constexpr T min3(T a, T b, T c) { return min(min(a, b), c); } \
  MSL_FN constexpr T max3(T a, T b, T c) { return max(max(a, b), c); } \
  MSL_FN constexpr T select(T a, T b, bool c) { return c ? b : a; }
#define MSL_FMM(T) \
  MSL_FN T min(T a, T b) { return isnan(a) ? b : isnan(b) ? a : b < a ? b : a; } \
  MSL_FN T max(T a, T b) { return isnan(a) ? b : isnan(b) ? a : a < b ? b : a; } \
  MSL_FN T clamp(T x, T lo, T hi) { return min(max(x, lo), hi); } \
  MSL_FN T min3(T a, T b, T c) { return min(min(a, b), c); } \
  MSL_FN T max3(T a, T b, T c) { return max(max(a, b), c); } \
  MSL_FN T abs(T x) { return fabs(x); } \
  MSL_FN T select(T a, T b, bool c) { return c ? b : a; }
MSL_MM(char)
MSL_MM(_schar) MSL_MM(uchar) MSL_MM(short) MSL_MM(ushort) MSL_MM(int) MSL_MM(uint) MSL_MM(long) MSL_MM(ulong)
    MSL_FMM(float) MSL_FMM(half) namespace fast {
  MSL_FMM(float)
}
namespace precise {
MSL_FMM(float)
}
MSL_FN constexpr int abs(int x) { return x < 0 ? -x : x; }
MSL_FN constexpr short abs(short x) { return x < 0 ? -x : x; }
MSL_FN constexpr long abs(long x) { return x < 0 ? -x : x; }
MSL_V2(min)
MSL_V2(max) template <class T, int N>
MSL_FN vec<T, N> clamp(vec<T, N> x, vec<T, N> lo, vec<T, N> hi) {
  return min(max(x, lo), hi);
}
template <class T, int N>
MSL_FN vec<T, N> clamp(vec<T, N> x, T lo, T hi) {
  return min(max(x, vec<T, N>(lo)), vec<T, N>(hi));
}
template <class T, int N>
MSL_FN vec<T, N> select(vec<T, N> a, vec<T, N> b, vec<bool, N> c) {
  vec<T, N> r;
  for (int i = 0; i < N; i++) r.v[i] = c.v[i] ? b.v[i] : a.v[i];
  return r;
}
template <class T, int N>
MSL_FN vec<T, N> abs(vec<T, N> x) {
  vec<T, N> r;
  for (int i = 0; i < N; i++) r.v[i] = abs(x.v[i]);
  return r;
}
template <class T, int N>
MSL_FN T dot(vec<T, N> a, vec<T, N> b) {
  T r = T(a.v[0] * b.v[0]);
  for (int i = 1; i < N; i++) r = T(r + a.v[i] * b.v[i]);
  return r;
}
template <class T, int N>
MSL_FN T length(vec<T, N> a) {
  return sqrt(dot(a, a));
}

// integers
MSL_FN uint popcount(uint x) { return __builtin_popcount(x); }
MSL_FN uint clz(uint x) { return x ? __builtin_clz(x) : 32; }
MSL_FN uint ctz(uint x) { return x ? __builtin_ctz(x) : 32; }
MSL_FN uint reverse_bits(uint x) {
  uint r = 0;
  for (int i = 0; i < 32; i++) r |= ((x >> i) & 1u) << (31 - i);
  return r;
}
MSL_FN uint mulhi(uint a, uint b) { return uint((ulong(a) * ulong(b)) >> 32); }
MSL_FN int popcount(int x) { return int(popcount(uint(x))); }
MSL_FN int clz(int x) { return int(clz(uint(x))); }
MSL_FN uint extract_bits(uint x, uint off, uint bits) {
  return bits == 0 ? 0u : (x >> off) & (bits >= 32 ? ~0u : ((1u << bits) - 1u));
}
MSL_FN int extract_bits(int x, uint off, uint bits) {
  return bits == 0 ? 0 : int(uint(x) << (32 - off - bits)) >> (32 - bits);
}
MSL_FN uint insert_bits(uint base, uint ins, uint off, uint bits) {
  uint m = bits >= 32 ? ~0u : ((1u << bits) - 1u) << off;
  return (base & ~m) | ((ins << off) & m);
}
MSL_FN uint rotate(uint x, uint k) {
  k &= 31u;
  return k ? (x << k) | (x >> (32u - k)) : x;
}
MSL_FN int mul24(int a, int b) { return a * b; }
MSL_FN int mad24(int a, int b, int c) { return a * b + c; }

template <class T, size_t N>
struct array {
  T v[N];
  MSL_FN T& operator[](size_t i) { return v[i]; }
  MSL_FN const T& operator[](size_t i) const { return v[i]; }
  MSL_FN constexpr size_t size() const { return N; }
};

enum class mem_flags {
  mem_none = 0,
  mem_device = 1,
  mem_threadgroup = 2,
  mem_texture = 4,
  mem_threadgroup_imageblock = 8
};
MSL_FN constexpr mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }
enum memory_order { memory_order_relaxed = 0 };
}  // namespace metal

#ifndef INFINITY
#define INFINITY __builtin_inff()
#endif
#ifndef NAN
#define NAN __builtin_nanf("")
#endif
#ifndef M_PI_F
#define M_PI_F 3.14159274101257324219f
#endif
#ifndef M_LOG2E_F
#define M_LOG2E_F 1.44269502162933349609f
#endif
#ifndef M_LN2_F
#define M_LN2_F 0.693147182464599609375f
#endif
#ifndef M_LN10_F
#define M_LN10_F 2.302585124969482421875f
#endif
#ifndef M_SQRT1_2_F
#define M_SQRT1_2_F 0.707106769084930419922f
#endif
#ifndef M_E_F
#define M_E_F 2.71828174591064453125f
#endif
#ifndef FLT_MAX
#define FLT_MAX 3.402823466e+38f
#endif
#ifndef FLT_MIN
#define FLT_MIN 1.17549435e-38f
#endif
#ifndef FLT_EPSILON
#define FLT_EPSILON 1.1920929e-7f
#endif
#ifndef INT_MAX
#define INT_MAX 2147483647
#endif
#ifndef INT_MIN
#define INT_MIN (-2147483647 - 1)
#endif
#ifndef UINT_MAX
#define UINT_MAX 4294967295u
#endif
#define METAL_FUNC inline
