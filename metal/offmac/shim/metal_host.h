// Compiles a Metal kernel function as ordinary C++ for the CPU. Each thread of a
// threadgroup is a fiber (msl_rt.cpp); a SIMD-group operation or a barrier is a
// rendezvous of the fibers concerned.
#pragma once
#include "msl_rt.h"
#include "msl_math.h"

// address spaces and function kinds mean nothing on the host (lint checks them)
#define device
#define constant
#define thread
#define threadgroup
#define kernel
#define METAL_INTERNAL inline
// `threadgroup T name[N];` in a kernel is rewritten to this macro (text.py)
#define MSL_TG_DECL(name, ...) \
  auto& name = *static_cast<metal::_id<__VA_ARGS__>*>( \
      msl_rt_tg_alloc(__COUNTER__, sizeof(metal::_id<__VA_ARGS__>), alignof(metal::_id<__VA_ARGS__>)))

inline constexpr half operator""h(long double x) { return half(x); }
inline bfloat operator"" bf(long double x) { return bfloat(float(x)); }

namespace metal {
template <class T>
using _id = T;

template <class T>
using uniform = T;  // a promise to the compiler, not another value
template <class T>
constexpr T make_uniform(T x) {
  return x;
}

// SIMD-group functions
// Metal takes 8/16/32-bit integers, half, float (and vectors of them) here:
// not bool, not 64-bit, not structs. bfloat only where the MLX preamble adds it.
template <class T>
constexpr bool _simd_ok =
    (is_integral_v<T> || is_same_v<T, float> || is_same_v<T, half>) && !is_same_v<T, bool> && sizeof(T) <= 4;
template <class T, int N>
constexpr bool _simd_ok<vec<T, N>> = _simd_ok<T>;
#define MSL_SIMD_T class T, class = enable_if_t<_simd_ok<T>>
#define MSL_LINE int line_ = __builtin_LINE()
#define MSL_LINE_PARAM , MSL_LINE
#define MSL_LINE_ARG , line_

template <class T>
struct _lanes {
  T v[32];
  uint mask;
  bool on(uint i) const { return i < 32 && ((mask >> i) & 1u); }
};
template <class T>
MSL_FN _lanes<T> _gather(int op, T x, int line) {
  static_assert(sizeof(T) <= 64, "payload");
  _lanes<T> r;
  r.mask = msl_rt_exchange(op, line, &x, sizeof(T), r.v);
  return r;
}
template <class T, class F>
inline T _reduce(T x, int line, F f, uint group = 32) {
  _lanes<T> l = _gather(MSL_OP_REDUCE, x, line);
  uint me = msl_rt_lane(), base = me / group * group;
  if (l.mask == 0xffffffffu) {  // butterfly
    T a[32];
    for (uint i = 0; i < group; i++) a[i] = l.v[base + i];
    for (uint s = group / 2; s > 0; s /= 2)
      for (uint i = 0; i < s; i++) a[i] = f(a[i], a[i + s]);
    return a[0];
  }
  bool first = true;
  T r = x;
  for (uint i = base; i < base + group; i++)
    if (l.on(i)) {
      r = first ? l.v[i] : f(r, l.v[i]);
      first = false;
    }
  return r;
}
#define MSL_RED(name, group, expr) \
  template <MSL_SIMD_T> \
  inline T name(T x, MSL_LINE) { \
    return _reduce(x, line_, [](T a, T b) -> T { return T(expr); }, group); \
  }
MSL_RED(simd_sum, 32, a + b)
MSL_RED(simd_product, 32, a* b) MSL_RED(simd_max, 32, max(a, b)) MSL_RED(simd_min, 32, min(a, b))
    MSL_RED(simd_and, 32, a& b) MSL_RED(simd_or, 32, a | b) MSL_RED(simd_xor, 32, a ^ b)
MSL_RED(quad_sum, 4, a + b) MSL_RED(quad_product, 4, a* b) MSL_RED(quad_max, 4, max(a, b))
MSL_RED(quad_min, 4, min(a, b)) MSL_RED(quad_and, 4, a& b) MSL_RED(quad_or, 4, a | b)
MSL_RED(quad_xor, 4, a ^ b)

                    template <MSL_SIMD_T>
                    inline T simd_prefix_inclusive_sum(T x, MSL_LINE) {
  _lanes<T> l = _gather(MSL_OP_SCAN, x, line_);
  T r = T(0);
  for (uint i = 0; i <= msl_rt_lane(); i++)
    if (l.on(i)) r = T(r + l.v[i]);
  return r;
}
template <MSL_SIMD_T>
inline T simd_prefix_exclusive_sum(T x, MSL_LINE) {
  _lanes<T> l = _gather(MSL_OP_SCAN, x, line_);
  T r = T(0);
  for (uint i = 0; i < msl_rt_lane(); i++)
    if (l.on(i)) r = T(r + l.v[i]);
  return r;
}
template <class T>
inline T _pick(const _lanes<T>& l, uint src, int line) {
  if (!l.on(src)) msl_rt_fail(line, "SIMD-group shuffle/broadcast reads a lane that does not take part");
  return l.v[src & 31];
}
template <MSL_SIMD_T>
inline T simd_shuffle(T x, ushort lane, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, lane, line_);
}
template <MSL_SIMD_T>
inline T simd_broadcast(T x, ushort lane, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, lane, line_);
}
template <MSL_SIMD_T>
inline T simd_broadcast_first(T x, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return l.v[__builtin_ctz(l.mask)];
}
template <MSL_SIMD_T>
inline T simd_shuffle_xor(T x, ushort m, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, msl_rt_lane() ^ m, line_);
}
// past the end: Metal leaves the value as it was
template <MSL_SIMD_T>
inline T simd_shuffle_down(T x, ushort d, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  uint s = msl_rt_lane() + d;
  return s > 31 ? x : _pick(l, s, line_);
}
template <MSL_SIMD_T>
inline T simd_shuffle_up(T x, ushort d, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  uint me = msl_rt_lane();
  return me < d ? x : _pick(l, me - d, line_);
}
template <MSL_SIMD_T>
inline T simd_shuffle_rotate_down(T x, ushort d, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, (msl_rt_lane() + d) & 31, line_);
}
template <MSL_SIMD_T>
inline T simd_shuffle_rotate_up(T x, ushort d, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, (msl_rt_lane() - d) & 31, line_);
}
template <MSL_SIMD_T>
inline T simd_shuffle_and_fill_up(T x, T fill, ushort d, MSL_LINE) {
  struct P {
    T a, b;
  };
  auto l = _gather(MSL_OP_SHUFFLE, P{x, fill}, line_);
  uint me = msl_rt_lane();
  return me < d ? l.v[32 + me - d].b : l.v[me - d].a;
}
template <MSL_SIMD_T>
inline T simd_shuffle_and_fill_down(T x, T fill, ushort d, MSL_LINE) {
  struct P {
    T a, b;
  };
  auto l = _gather(MSL_OP_SHUFFLE, P{x, fill}, line_);
  uint s = msl_rt_lane() + d;
  return s > 31 ? l.v[s - 32].b : l.v[s].a;
}
template <MSL_SIMD_T>
inline T quad_broadcast(T x, ushort q, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, (msl_rt_lane() & ~3u) + q, line_);
}
template <MSL_SIMD_T>
inline T quad_shuffle_xor(T x, ushort m, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  return _pick(l, msl_rt_lane() ^ (m & 3), line_);
}
template <MSL_SIMD_T>
inline T quad_shuffle_down(T x, ushort d, MSL_LINE) {
  auto l = _gather(MSL_OP_SHUFFLE, x, line_);
  uint me = msl_rt_lane();
  return (me & 3) + d > 3 ? x : _pick(l, me + d, line_);
}

struct simd_vote {
  ulong m;
  explicit simd_vote(ulong v) : m(v) {}
  explicit operator ulong() const { return m; }
  bool all() const { return uint(m) == 0xffffffffu; }
  bool any() const { return m != 0; }
};
inline simd_vote simd_ballot(bool p, MSL_LINE) {
  auto l = _gather(MSL_OP_VOTE, uchar(p), line_);
  uint m = 0;
  for (uint i = 0; i < 32; i++)
    if (l.on(i) && l.v[i]) m |= 1u << i;
  return simd_vote(m);
}
inline bool simd_any(bool p, MSL_LINE) {
  auto l = _gather(MSL_OP_VOTE, uchar(p), line_);
  for (uint i = 0; i < 32; i++)
    if (l.on(i) && l.v[i]) return true;
  return false;
}
inline bool simd_all(bool p, MSL_LINE) {
  auto l = _gather(MSL_OP_VOTE, uchar(p), line_);
  for (uint i = 0; i < 32; i++)
    if (l.on(i) && !l.v[i]) return false;
  return true;
}
inline bool simd_is_first(MSL_LINE) {
  auto l = _gather(MSL_OP_VOTE, uchar(1), line_);
  return uint(__builtin_ctz(l.mask)) == msl_rt_lane();
}

inline void threadgroup_barrier(mem_flags f, MSL_LINE) { msl_rt_barrier(MSL_OP_TG_BARRIER, int(f), line_); }
inline void simdgroup_barrier(mem_flags f, MSL_LINE) { msl_rt_barrier(MSL_OP_SIMD_BARRIER, int(f), line_); }

// simdgroup_matrix (8x8)
// Lane l holds row r(l), columns c(l) and c(l)+1: the layout that MLX's steel
// code relies on (BaseMMAFrag::get_coord).
template <class T, int R, int C>
struct simdgroup_matrix {
  static_assert(R == 8 && C == 8, "only 8x8");
  vec<T, 2> e;
  simdgroup_matrix() = default;
  explicit simdgroup_matrix(T diag) {
    e = vec<T, 2>(row() == col() ? diag : T(0), row() == col() + 1 ? diag : T(0));
  }
  vec<T, 2>& thread_elements() { return e; }
  static uint row() {
    uint l = msl_rt_lane(), q = l / 4;
    return (q & 4) + (l / 2) % 4;
  }
  static uint col() {
    uint l = msl_rt_lane(), q = l / 4;
    return (q & 2) * 2 + (l % 2) * 2;
  }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
template <class T, int C, int R = C>
simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T v) {
  simdgroup_matrix<T, C, R> m;
  m.e = vec<T, 2>(v);
  return m;
}
template <class T, class U>
inline void simdgroup_load(simdgroup_matrix<T, 8, 8>& d, const U* p, ulong per_row = 8,
                           ulong2 origin = ulong2(0), bool transpose = false) {
  static_assert(is_same_v<remove_cv_t<U>, T>, "simdgroup_load: element types differ");
  ulong r = d.row(), c = d.col();
  for (int i = 0; i < 2; i++)
    d.e[i] = transpose ? p[(c + i + origin.y) * per_row + r + origin.x]
                       : p[(r + origin.y) * per_row + c + i + origin.x];
}
template <class T>
inline void simdgroup_store(simdgroup_matrix<T, 8, 8> d, T* p, ulong per_row = 8, ulong2 origin = ulong2(0),
                            bool transpose = false) {
  ulong r = d.row(), c = d.col();
  for (int i = 0; i < 2; i++)
    (transpose ? p[(c + i + origin.y) * per_row + r + origin.x]
               : p[(r + origin.y) * per_row + c + i + origin.x]) = d.e[i];
}
template <class D, class A, class B, class C>
inline void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8>& a,
                                          simdgroup_matrix<B, 8, 8>& b, simdgroup_matrix<C, 8, 8>& c,
                                          MSL_LINE) {
  struct P {
    float a[2], b[2];
  };
  auto l = _gather(MSL_OP_MATRIX, P{{float(a.e[0]), float(a.e[1])}, {float(b.e[0]), float(b.e[1])}}, line_);
  if (l.mask != 0xffffffffu) msl_rt_fail(line_, "simdgroup_matrix operation with lanes missing");
  auto at = [](uint r, uint col, uint& lane, uint& i) {  // inverse of row()/col()
    lane = (r & 4) * 4 + (col & 4) * 2 + (r & 3) * 2 + ((col >> 1) & 1);
    i = col & 1;
  };
  uint r = d.row(), cc = d.col();
  for (uint j = 0; j < 2; j++) {
    float s = float(c.e[j]);
    for (uint k = 0; k < 8; k++) {
      uint la, ia, lb, ib;
      at(r, k, la, ia);
      at(k, cc + j, lb, ib);
      s += l.v[la].a[ia] * l.v[lb].b[ib];
    }
    d.e[j] = D(s);
  }
}
template <class D, class A, class B>
inline void simdgroup_multiply(simdgroup_matrix<D, 8, 8>& d, simdgroup_matrix<A, 8, 8>& a,
                               simdgroup_matrix<B, 8, 8>& b, MSL_LINE) {
  simdgroup_matrix<D, 8, 8> z;
  z.e = vec<D, 2>(D(0));
  simdgroup_multiply_accumulate(d, a, b, z, line_);
}

}  // namespace metal
