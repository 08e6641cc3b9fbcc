// Metal's types: scalar names, traits, vec<T, N>, packed vectors, limits. No standard
// header is included on purpose: `std::` must not compile.
#pragma once

#define MSL_FN inline __attribute__((always_inline))

typedef unsigned char uchar;
typedef signed char _schar;
typedef long long _llong;
typedef unsigned long long _ullong;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef unsigned int uint32_t;
typedef unsigned long uint64_t;
typedef __SIZE_TYPE__ size_t;
typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __UINTPTR_TYPE__ uintptr_t;

namespace metal {

// type traits
template <class T, T v>
struct integral_constant {
  static constexpr T value = v;
  typedef T value_type;
  MSL_FN constexpr operator T() const { return v; }
};
template <bool B>
using bool_constant = integral_constant<bool, B>;
typedef bool_constant<true> true_type;
typedef bool_constant<false> false_type;
template <class A, class B>
struct is_same : false_type {};
template <class A>
struct is_same<A, A> : true_type {};
template <class A, class B>
constexpr bool is_same_v = is_same<A, B>::value;
template <bool B, class T = void>
struct enable_if {};
template <class T>
struct enable_if<true, T> {
  typedef T type;
};
template <bool B, class T = void>
using enable_if_t = typename enable_if<B, T>::type;
template <bool B, class T, class F>
struct conditional {
  typedef T type;
};
template <class T, class F>
struct conditional<false, T, F> {
  typedef F type;
};
template <bool B, class T, class F>
using conditional_t = typename conditional<B, T, F>::type;
template <class T>
struct remove_const {
  typedef T type;
};
template <class T>
struct remove_const<const T> {
  typedef T type;
};
template <class T>
struct remove_volatile {
  typedef T type;
};
template <class T>
struct remove_volatile<volatile T> {
  typedef T type;
};
template <class T>
struct remove_cv {
  typedef typename remove_const<typename remove_volatile<T>::type>::type type;
};
template <class T>
using remove_cv_t = typename remove_cv<T>::type;
template <class T>
struct remove_reference {
  typedef T type;
};
template <class T>
struct remove_reference<T&> {
  typedef T type;
};
template <class T>
struct remove_reference<T&&> {
  typedef T type;
};
template <class T>
using remove_reference_t = typename remove_reference<T>::type;
template <class T>
using remove_addrspace_t = remove_cv_t<T>;
template <class T>
struct remove_pointer {
  typedef T type;
};
template <class T>
struct remove_pointer<T*> {
  typedef T type;
};
template <class T>
using remove_pointer_t = typename remove_pointer<T>::type;
template <class...>
struct _disjunction : false_type {};
template <class A, class... R>
struct _disjunction<A, R...> : conditional_t<bool(A::value), A, _disjunction<R...>> {};
template <class...>
struct _conjunction : true_type {};
template <class A, class... R>
struct _conjunction<A, R...> : conditional_t<bool(A::value), _conjunction<R...>, A> {};
template <class T>
struct _is_int : false_type {};
#define MSL_I(T) \
  template <> \
  struct _is_int<T> : true_type {};
MSL_I(bool)
MSL_I(char) MSL_I(_schar) MSL_I(uchar) MSL_I(short) MSL_I(ushort) MSL_I(int) MSL_I(uint) MSL_I(long)
    MSL_I(ulong)
#undef MSL_I
        template <class T>
        struct is_integral : _is_int<remove_cv_t<T>> {
};
template <class T>
constexpr bool is_integral_v = is_integral<T>::value;
template <class T>
struct is_signed : bool_constant<(remove_cv_t<T>(-1) < remove_cv_t<T>(0))> {};
template <class T>
constexpr bool is_signed_v = is_signed<T>::value;
template <class T>
constexpr bool is_unsigned_v = is_integral_v<T> && !is_signed_v<T>;

// declared here, defined by the back end: half and bfloat
}  // namespace metal

#include "msl_small_float.h"

namespace metal {
template <class T>
struct _is_fp : false_type {};
template <>
struct _is_fp<float> : true_type {};
template <>
struct _is_fp<half> : true_type {};
template <>
struct _is_fp<bfloat> : true_type {};
template <class T>
struct is_floating_point : _is_fp<remove_cv_t<T>> {};
template <class T>
constexpr bool is_floating_point_v = is_floating_point<T>::value;
template <class T>
constexpr bool is_arithmetic_v = is_integral_v<T> || is_floating_point_v<T>;
template <class T>
struct is_arithmetic : bool_constant<is_arithmetic_v<T>> {};
template <class F, class T>
struct _conv {
  static char test(T);
  static long test(...);
  static F make();
  static constexpr bool value = sizeof(test(make())) == 1;
};
template <class F, class T>
constexpr bool is_convertible_v = _conv<F, T>::value;
template <class F, class T>
struct is_convertible : bool_constant<is_convertible_v<F, T>> {};

// vec<T,N>
template <class T, int N>
struct vec;

// Swizzle proxy: a view on some components. The unused first argument makes
// vec<T,sizeof...(I)> an associated class, so its operators are found.
template <class V, class T, int N, int... I>
struct _swz {
  T v[N];
  MSL_FN operator V() const { return V(v[I]...); }
  MSL_FN _swz& operator=(V o) {
    int k = 0;
    ((v[I] = o[k++]), ...);
    return *this;
  }
};
#define MSL_SWZ2 \
  _swz<vec<T, 2>, T, 2, 0, 1> xy; \
  _swz<vec<T, 2>, T, 2, 1, 0> yx; \
  _swz<vec<T, 2>, T, 2, 0, 0> xx; \
  _swz<vec<T, 2>, T, 2, 1, 1> yy;
#define MSL_SWZ3 \
  _swz<vec<T, 2>, T, 4, 0, 1> xy; \
  _swz<vec<T, 2>, T, 4, 1, 2> yz; \
  _swz<vec<T, 2>, T, 4, 0, 2> xz; \
  _swz<vec<T, 2>, T, 4, 1, 0> yx; \
  _swz<vec<T, 3>, T, 4, 0, 1, 2> xyz; \
  _swz<vec<T, 3>, T, 4, 2, 1, 0> zyx;
#define MSL_SWZ4 \
  MSL_SWZ3 _swz<vec<T, 2>, T, 4, 2, 3> zw; \
  _swz<vec<T, 2>, T, 4, 1, 3> yw; \
  _swz<vec<T, 2>, T, 4, 3, 2> wz; \
  _swz<vec<T, 3>, T, 4, 1, 2, 3> yzw; \
  _swz<vec<T, 4>, T, 4, 0, 1, 2, 3> xyzw; \
  _swz<vec<T, 4>, T, 4, 3, 2, 1, 0> wzyx;

#define MSL_VEC_BIN(op) \
  friend MSL_FN vec operator op(vec a, vec b) { \
    vec r; \
    for (int i = 0; i < n_; i++) r.v[i] = T(a.v[i] op b.v[i]); \
    return r; \
  } \
  MSL_FN vec& operator op##=(vec b) { \
    for (int i = 0; i < n_; i++) v[i] = T(v[i] op b.v[i]); \
    return *this; \
  }
#define MSL_VEC_CMP(op) \
  friend MSL_FN vec<bool, n_> operator op(vec a, vec b) { \
    vec<bool, n_> r; \
    for (int i = 0; i < n_; i++) r.v[i] = a.v[i] op b.v[i]; \
    return r; \
  }
// Sanitizer builds look at the address of every vector that is copied: a cast to
// a wider vector type of a pointer that is not aligned for it is undefined.
#ifdef MSL_CHECK_ALIGN
extern "C" void msl_rt_misaligned(const void*, unsigned long);
#define MSL_VEC_COPY \
  vec(const vec& o) { \
    if ((__UINTPTR_TYPE__)(&o) % alignof(vec)) msl_rt_misaligned(&o, alignof(vec)); \
    __builtin_memcpy((void*)this, &o, sizeof(*this)); \
  } \
  vec& operator=(const vec& o) { \
    if ((__UINTPTR_TYPE__)(&o) % alignof(vec)) msl_rt_misaligned(&o, alignof(vec)); \
    if ((__UINTPTR_TYPE__)(this) % alignof(vec)) msl_rt_misaligned(this, alignof(vec)); \
    __builtin_memcpy((void*)this, &o, sizeof(*this)); \
    return *this; \
  }
#else
#define MSL_VEC_COPY
#endif
#define MSL_VEC_COMMON(N) \
  static constexpr int n_ = N; \
  vec() = default; \
  MSL_VEC_COPY \
  MSL_FN T& operator[](int i) { return v[i]; } \
  MSL_FN const T& operator[](int i) const { return v[i]; } \
  MSL_VEC_BIN(+) \
  MSL_VEC_BIN(-) MSL_VEC_BIN(*) MSL_VEC_BIN(/) MSL_VEC_BIN(%) MSL_VEC_BIN(&) MSL_VEC_BIN(|) MSL_VEC_BIN(^) \
      MSL_VEC_BIN(<<) MSL_VEC_BIN(>>) MSL_VEC_CMP(==) MSL_VEC_CMP(!=) MSL_VEC_CMP(<) MSL_VEC_CMP(<=) \
          MSL_VEC_CMP(>) MSL_VEC_CMP(>=) MSL_FN vec \
          operator-() const { \
    vec r; \
    for (int i = 0; i < n_; i++) r.v[i] = T(-v[i]); \
    return r; \
  } \
  MSL_FN vec operator~() const { \
    vec r; \
    for (int i = 0; i < n_; i++) r.v[i] = T(~v[i]); \
    return r; \
  }

template <class T>
struct alignas(2 * sizeof(T)) vec<T, 2> {
  union {
    struct {
      T x, y;
    };
    T v[2];
    MSL_SWZ2
  };
  MSL_VEC_COMMON(2)
  MSL_FN constexpr vec(T s) : x(s), y(s) {}
  MSL_FN constexpr vec(T a, T b) : x(a), y(b) {}
  template <class U>
  MSL_FN explicit constexpr vec(vec<U, 2> o) : x(T(o.x)), y(T(o.y)) {}
};
template <class T>
struct alignas(4 * sizeof(T)) vec<T, 3> {
  union {
    struct {
      T x, y, z;
    };
    T v[4];
    MSL_SWZ3
  };
  MSL_VEC_COMMON(3)
  MSL_FN constexpr vec(T s) : x(s), y(s), z(s) {}
  MSL_FN constexpr vec(T a, T b, T c) : x(a), y(b), z(c) {}
  MSL_FN constexpr vec(vec<T, 2> a, T c) : x(a.x), y(a.y), z(c) {}
  MSL_FN constexpr vec(T a, vec<T, 2> b) : x(a), y(b.x), z(b.y) {}
  template <class U>
  MSL_FN explicit constexpr vec(vec<U, 3> o) : x(T(o.x)), y(T(o.y)), z(T(o.z)) {}
};
template <class T>
struct alignas(4 * sizeof(T)) vec<T, 4> {
  union {
    struct {
      T x, y, z, w;
    };
    T v[4];
    MSL_SWZ4
  };
  MSL_VEC_COMMON(4)
  MSL_FN constexpr vec(T s) : x(s), y(s), z(s), w(s) {}
  MSL_FN constexpr vec(T a, T b, T c, T d) : x(a), y(b), z(c), w(d) {}
  MSL_FN constexpr vec(vec<T, 2> a, vec<T, 2> b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
  MSL_FN constexpr vec(vec<T, 3> a, T d) : x(a.x), y(a.y), z(a.z), w(d) {}
  MSL_FN constexpr vec(T a, vec<T, 3> b) : x(a), y(b.x), z(b.y), w(b.z) {}
  MSL_FN constexpr vec(vec<T, 2> a, T c, T d) : x(a.x), y(a.y), z(c), w(d) {}
  MSL_FN constexpr vec(T a, T b, vec<T, 2> c) : x(a), y(b), z(c.x), w(c.y) {}
  template <class U>
  MSL_FN explicit constexpr vec(vec<U, 4> o) : x(T(o.x)), y(T(o.y)), z(T(o.z)), w(T(o.w)) {}
};
template <int N>
MSL_FN bool any(vec<bool, N> a) {
  bool r = false;
  for (int i = 0; i < N; i++) r = r || a.v[i];
  return r;
}
template <int N>
MSL_FN bool all(vec<bool, N> a) {
  bool r = true;
  for (int i = 0; i < N; i++) r = r && a.v[i];
  return r;
}
template <class T, int N>
struct _is_vec_ {
  typedef T e;
};

template <class T>
struct _elem {
  typedef T type;
  static constexpr int n = 1;
};
template <class T, int N>
struct _elem<vec<T, N>> {
  typedef T type;
  static constexpr int n = N;
};

}  // namespace metal
#define MSL_VTG(T, name) \
  using name##2 = metal::vec<T, 2>; \
  using name##3 = metal::vec<T, 3>; \
  using name##4 = metal::vec<T, 4>;
MSL_VTG(bool, bool)
MSL_VTG(char, char) MSL_VTG(uchar, uchar) MSL_VTG(short, short) MSL_VTG(ushort, ushort) MSL_VTG(int, int)
    MSL_VTG(uint, uint) MSL_VTG(long, long) MSL_VTG(ulong, ulong) MSL_VTG(half, half) MSL_VTG(float, float)
MSL_VTG(bfloat, bfloat)
#undef MSL_VTG

// packed_*: same components, alignment of one component
#define MSL_PK(T, name, N) \
  struct packed_##name##N { \
    T v[N]; \
    MSL_FN operator metal::vec<T, N>() const { \
      metal::vec<T, N> r; \
      for (int i = 0; i < N; i++) r.v[i] = v[i]; \
      return r; \
    } \
    packed_##name##N() = default; \
    MSL_FN packed_##name##N(metal::vec<T, N> o) { \
      for (int i = 0; i < N; i++) v[i] = o.v[i]; \
    } \
    MSL_FN T& operator[](int i) { return v[i]; } \
    MSL_FN const T& operator[](int i) const { return v[i]; } \
  };
#define MSL_PKG(T, name) MSL_PK(T, name, 2) MSL_PK(T, name, 3) MSL_PK(T, name, 4)
MSL_PKG(float, float) MSL_PKG(half, half) MSL_PKG(int, int) MSL_PKG(uint, uint)
MSL_PKG(short, short) MSL_PKG(ushort, ushort) MSL_PKG(char, char) MSL_PKG(uchar, uchar)

    // as_type<To>(from): same size only
    template <class To, class From>
    MSL_FN To as_type(From f) {
  static_assert(sizeof(To) == sizeof(From), "as_type: sizes differ");
  To t;
  __builtin_memcpy(&t, &f, sizeof(To));
  return t;
}

namespace metal {
// limits
template <class T>
struct numeric_limits;
#define MSL_LIM(T, lo, hi, dig) \
  template <> \
  struct numeric_limits<T> { \
    static constexpr bool is_specialized = true, is_integer = true, is_signed = T(-1) < T(0); \
    static constexpr int digits = dig; \
    static MSL_FN constexpr T min() { return T(lo); } \
    static MSL_FN constexpr T lowest() { return T(lo); } \
    static MSL_FN constexpr T max() { return T(hi); } \
  };
MSL_LIM(bool, false, true, 1)
MSL_LIM(char, -128, 127, 7)
MSL_LIM(_schar, -128, 127, 7) MSL_LIM(uchar, 0, 255, 8) MSL_LIM(short, -32768, 32767, 15)
    MSL_LIM(ushort, 0, 65535, 16) MSL_LIM(int, (-2147483647 - 1), 2147483647, 31)
MSL_LIM(uint, 0, 4294967295u, 32) MSL_LIM(long, (-9223372036854775807l - 1), 9223372036854775807l, 63)
MSL_LIM(ulong, 0, 18446744073709551615ul, 64)
#define MSL_FLIM(T, MIN, MAX, EPS, INF, QNAN, dig) \
  template <> \
  struct numeric_limits<T> { \
    static constexpr bool is_specialized = true, is_integer = false, is_signed = true; \
    static constexpr int digits = dig; \
    static MSL_FN constexpr T min() { return MIN; } \
    static MSL_FN constexpr T max() { return MAX; } \
    static MSL_FN constexpr T lowest() { return -(MAX); } \
    static MSL_FN constexpr T epsilon() { return EPS; } \
    static MSL_FN constexpr T infinity() { return INF; } \
    static MSL_FN constexpr T quiet_NaN() { return QNAN; } \
  };
MSL_FLIM(float, 1.17549435e-38f, 3.402823466e+38f, 1.1920929e-7f, __builtin_inff(),
                         __builtin_nanf(""), 24)
MSL_FLIM(half, _half_lit(0x0400), _half_lit(0x7bff), _half_lit(0x1400), _half_lit(0x7c00),
                             _half_lit(0x7e00), 11)
MSL_FLIM(bfloat, _bfloat_lit(0x0080), _bfloat_lit(0x7f7f), _bfloat_lit(0x3c00),
                                 _bfloat_lit(0x7f80), _bfloat_lit(0x7fc0), 8)
}  // namespace metal
