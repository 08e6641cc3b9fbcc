// Metal Shading Language, as far as clang's "C++ for OpenCL" can
// say it. Never run: only the front end sees it. What it has that the host shim
// has not: real address spaces (also on methods), clang's own vector types, and
// OpenCL's list of forbidden C++ (virtual, new, exceptions, double, variable
// length arrays, function pointers, non-constant globals, ...).
//   clang -x clcpp -cl-std=clc++2021 -target x86_64-linux-gnu -cl-no-stdinc
//         -Xclang -cl-ext=-all,+cl_khr_fp16  -cl-single-precision-constant
//   plus +__opencl_c_generic_address_space for Metal 4.1, where an unqualified
//   pointer or `this` is generic; without it they are `thread`, as before 4.1.
#pragma once
#pragma OPENCL EXTENSION cl_khr_fp16 : enable
#define device __global
#define constant __constant
#define threadgroup __local
#define thread __private
#define METAL_FUNC inline
#define MSL_TG_DECL(name, ...) \
  threadgroup metal::_id<__VA_ARGS__>& name = metal::_tg<metal::_id<__VA_ARGS__>>()

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef char int8_t;
typedef short int16_t;
typedef int int32_t;
typedef long int64_t;
typedef uchar uint8_t;
typedef ushort uint16_t;
typedef uint uint32_t;
typedef ulong uint64_t;
typedef ulong size_t;
typedef long ptrdiff_t;
typedef __bf16 bfloat;
#define INFINITY __builtin_inff()
#define NAN __builtin_nanf("")
#define FLT_MAX 3.402823466e+38f
#define FLT_MIN 1.17549435e-38f
#define M_PI_F 3.14159274101257324219f
#define M_LOG2E_F 1.44269504088896340736f
#define M_LN2_F 0.693147180559945309417f
#define INT_MAX 2147483647
#define UINT_MAX 4294967295u

namespace metal {
template <class T>
using _id = T;
template <class T>
threadgroup T& _tg();
template <class T, int N>
struct _vec {
  typedef T type __attribute__((ext_vector_type(N)));
};
template <class T, int N>
using vec = typename _vec<T, N>::type;

template <class T, T v>
struct integral_constant {
  static constexpr constant T value = v;
  typedef T value_type;
  constexpr operator T() const thread { return v; }
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
constexpr constant bool is_same_v = is_same<A, B>::value;
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
using remove_cv_t = __remove_cv(T);
template <class T>
struct _ras {
  typedef T type;
};
template <class T>
struct _ras<device T> {
  typedef T type;
};
template <class T>
struct _ras<constant T> {
  typedef T type;
};
template <class T>
struct _ras<threadgroup T> {
  typedef T type;
};
template <class T>
struct _ras<thread T> {
  typedef T type;
};
template <class T>
using remove_addrspace_t = __remove_cv(typename _ras<T>::type);
template <class...>
struct _disjunction : false_type {};
template <class A, class... R>
struct _disjunction<A, R...> : conditional_t<bool(A::value), A, _disjunction<R...>> {};
template <class T>
using uniform = T;
template <class T>
constexpr T make_uniform(T x) {
  return x;
}
template <class T>
struct _is_int : bool_constant<__is_integral(T)> {};
template <class T>
struct is_integral : bool_constant<__is_integral(T)> {};
template <class T>
constexpr constant bool is_integral_v = __is_integral(T);
template <class T>
constexpr constant bool is_floating_point_v = __is_floating_point(T);
template <class T>
struct is_floating_point : bool_constant<__is_floating_point(T)> {};
template <class T>
constexpr constant bool is_signed_v = __is_signed(T);
template <class T>
constexpr constant bool is_unsigned_v = __is_unsigned(T);
template <class F, class T>
constexpr constant bool is_convertible_v = __is_convertible(F, T);
template <class F, class T>
struct is_convertible : bool_constant<__is_convertible(F, T)> {};

// the scalar and vector types there are
#define MSL_EACH_N(X, T) X(T, T##2) X(T, T##3) X(T, T##4)
}  // namespace metal
#define MSL_DEFV(T, N) typedef T T##N __attribute__((ext_vector_type(N)));
#define MSL_DEF(T) MSL_DEFV(T, 2) MSL_DEFV(T, 3) MSL_DEFV(T, 4)
MSL_DEF(char)
MSL_DEF(uchar) MSL_DEF(short) MSL_DEF(ushort) MSL_DEF(int) MSL_DEF(uint) MSL_DEF(long) MSL_DEF(ulong)
    MSL_DEF(half) MSL_DEF(float)
    // OpenCL has no vector of bool: a comparison gives int (or short) components
    typedef int bool2 __attribute__((ext_vector_type(2)));
typedef int bool3 __attribute__((ext_vector_type(3)));
typedef int bool4 __attribute__((ext_vector_type(4)));
typedef bfloat bfloat2 __attribute__((ext_vector_type(2)));
typedef bfloat bfloat3 __attribute__((ext_vector_type(3)));
typedef bfloat bfloat4 __attribute__((ext_vector_type(4)));

// float4(a, b, c, d) and the like: clang's vectors take no such constructor
// outside HLSL and Metal, so a function-like macro makes a call of it
#define MSL_MK(T) \
  T##2 _mk_##T##2(T); \
  T##2 _mk_##T##2(T, T); \
  template <class U> \
  T##2 _mk_##T##2(metal::vec<U, 2>); \
  T##3 _mk_##T##3(T); \
  T##3 _mk_##T##3(T, T, T); \
  T##3 _mk_##T##3(T##2, T); \
  T##3 _mk_##T##3(T, T##2); \
  T##4 _mk_##T##4(T); \
  T##4 _mk_##T##4(T, T, T, T); \
  T##4 _mk_##T##4(T##2, T##2); \
  T##4 _mk_##T##4(T##3, T); \
  T##4 _mk_##T##4(T, T##3); \
  T##4 _mk_##T##4(T##2, T, T); \
  T##4 _mk_##T##4(T, T, T##2); \
  MSL_MKC(T, 2) MSL_MKC(T, 3) MSL_MKC(T, 4)
#define MSL_MKC(T, N) \
  T##N _mk_##T##N(char##N); \
  T##N _mk_##T##N(uchar##N); \
  T##N _mk_##T##N(short##N); \
  T##N _mk_##T##N(ushort##N); \
  T##N _mk_##T##N(int##N); \
  T##N _mk_##T##N(uint##N); \
  T##N _mk_##T##N(long##N); \
  T##N _mk_##T##N(ulong##N); \
  T##N _mk_##T##N(half##N); \
  T##N _mk_##T##N(float##N);
MSL_MK(char)
MSL_MK(uchar) MSL_MK(short) MSL_MK(ushort) MSL_MK(int) MSL_MK(uint) MSL_MK(long) MSL_MK(ulong) MSL_MK(half)
    MSL_MK(float)
#define char2(...) _mk_char2(__VA_ARGS__)
#define char3(...) _mk_char3(__VA_ARGS__)
#define char4(...) _mk_char4(__VA_ARGS__)
#define uchar2(...) _mk_uchar2(__VA_ARGS__)
#define uchar3(...) _mk_uchar3(__VA_ARGS__)
#define uchar4(...) _mk_uchar4(__VA_ARGS__)
#define short2(...) _mk_short2(__VA_ARGS__)
#define short3(...) _mk_short3(__VA_ARGS__)
#define short4(...) _mk_short4(__VA_ARGS__)
#define ushort2(...) _mk_ushort2(__VA_ARGS__)
#define ushort3(...) _mk_ushort3(__VA_ARGS__)
#define ushort4(...) _mk_ushort4(__VA_ARGS__)
#define int2(...) _mk_int2(__VA_ARGS__)
#define int3(...) _mk_int3(__VA_ARGS__)
#define int4(...) _mk_int4(__VA_ARGS__)
#define uint2(...) _mk_uint2(__VA_ARGS__)
#define uint3(...) _mk_uint3(__VA_ARGS__)
#define uint4(...) _mk_uint4(__VA_ARGS__)
#define long2(...) _mk_long2(__VA_ARGS__)
#define long3(...) _mk_long3(__VA_ARGS__)
#define long4(...) _mk_long4(__VA_ARGS__)
#define ulong2(...) _mk_ulong2(__VA_ARGS__)
#define ulong3(...) _mk_ulong3(__VA_ARGS__)
#define ulong4(...) _mk_ulong4(__VA_ARGS__)
#define half2(...) _mk_half2(__VA_ARGS__)
#define half3(...) _mk_half3(__VA_ARGS__)
#define half4(...) _mk_half4(__VA_ARGS__)
#define float2(...) _mk_float2(__VA_ARGS__)
#define float3(...) _mk_float3(__VA_ARGS__)
#define float4(...) _mk_float4(__VA_ARGS__)

        template <class To, class From>
        To as_type(From f) {
  static_assert(sizeof(To) == sizeof(From), "as_type: sizes differ");
  return __builtin_bit_cast(To, f);
}

namespace metal {
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
constexpr mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }
enum memory_order { memory_order_relaxed };
void threadgroup_barrier(mem_flags);
void simdgroup_barrier(mem_flags);

template <class T>
struct numeric_limits {
  static constexpr T max() { return T(0); }
  static constexpr T min() { return T(0); }
  static constexpr T lowest() { return T(0); }
  static constexpr T infinity() { return T(0); }
  static constexpr T epsilon() { return T(0); }
  static constexpr T quiet_NaN() { return T(0); }
};

#define MSL_F1(f, T) T f(T);
#define MSL_F2(f, T) T f(T, T);
#define MSL_F3(f, T) T f(T, T, T);
#define MSL_FLOATS(M, f) \
  M(f, float) M(f, half) M(f, float2) M(f, float3) M(f, float4) M(f, half2) M(f, half3) M(f, half4)
#define MSL_FLOAT32(M, f) M(f, float) M(f, float2) M(f, float3) M(f, float4)
#define MSL_INTS(M, f) \
  M(f, char) \
  M(f, uchar) M(f, short) M(f, ushort) M(f, int) M(f, uint) M(f, long) M(f, ulong) M(f, int2) M(f, int4) \
      M(f, uint2) M(f, uint4) M(f, short2) M(f, short4) M(f, ushort2) M(f, ushort4)
#define MSL_UNARY(A, M) \
  A(M, exp) \
  A(M, exp2) A(M, exp10) A(M, log) A(M, log2) A(M, log10) A(M, sin) A(M, cos) A(M, tan) A(M, sinh) \
      A(M, cosh) A(M, tanh) A(M, asin) A(M, acos) A(M, atan) A(M, asinh) A(M, acosh) A(M, atanh) A(M, sqrt) \
          A(M, rsqrt) A(M, fabs) A(M, floor) A(M, ceil) A(M, rint) A(M, round) A(M, trunc) A(M, fract) \
              A(M, sign) A(M, saturate) A(M, abs)
#define MSL_BINARY(A, M) \
  A(M, pow) \
  A(M, powr) A(M, atan2) A(M, fmod) A(M, fmin) A(M, fmax) A(M, copysign) A(M, fdim) A(M, divide) A(M, step) \
      A(M, min) A(M, max)
MSL_UNARY(MSL_FLOATS, MSL_F1)
MSL_BINARY(MSL_FLOATS, MSL_F2) MSL_FLOATS(MSL_F3, fma) MSL_FLOATS(MSL_F3, mix) MSL_FLOATS(MSL_F3, clamp)
    MSL_INTS(MSL_F2, min) MSL_INTS(MSL_F2, max) MSL_INTS(MSL_F3, clamp) MSL_INTS(MSL_F1, abs)
MSL_INTS(MSL_F1, popcount) MSL_INTS(MSL_F1, clz) MSL_INTS(MSL_F1, ctz) MSL_INTS(MSL_F1, reverse_bits)
MSL_INTS(MSL_F2, mulhi) MSL_INTS(MSL_F2, rotate) namespace fast {
  MSL_UNARY(MSL_FLOAT32, MSL_F1) MSL_BINARY(MSL_FLOAT32, MSL_F2)
}
namespace precise {
MSL_UNARY(MSL_FLOAT32, MSL_F1) MSL_BINARY(MSL_FLOAT32, MSL_F2)
}
bool any(bool2);
bool any(bool3);
bool any(bool4);
bool all(bool2);
bool all(bool3);
bool all(bool4);
bool isnan(float);
bool isnan(half);
bool isinf(float);
bool isinf(half);
bool isfinite(float);
bool isfinite(half);
float ldexp(float, int);
#define MSL_DOT(T) \
  T dot(T##2, T##2); \
  T dot(T##3, T##3); \
  T dot(T##4, T##4); \
  T length(T##2); \
  T length(T##3); \
  T length(T##4);
MSL_DOT(float)
MSL_DOT(half) template <class T>
T select(T a, T b, bool c);
float4 select(float4, float4, bool4);
half4 select(half4, half4, bool4);
uint extract_bits(uint, uint, uint);
int extract_bits(int, uint, uint);
uint insert_bits(uint, uint, uint, uint);

// SIMD-group functions: 8/16/32-bit integers, half, float, vectors of them
template <class T>
constexpr constant bool _simd_ok =
    (__is_integral(T) || __is_same(T, float) || __is_same(T, half)) && !__is_same(T, bool) && sizeof(T) <= 4;
#define MSL_OKV(T) \
  template <> \
  constexpr constant bool _simd_ok<T##2> = true; \
  template <> \
  constexpr constant bool _simd_ok<T##3> = true; \
  template <> \
  constexpr constant bool _simd_ok<T##4> = true;
MSL_OKV(char)
MSL_OKV(uchar) MSL_OKV(short) MSL_OKV(ushort) MSL_OKV(int) MSL_OKV(uint) MSL_OKV(half) MSL_OKV(float)
#define MSL_ST template <class T, class = enable_if_t<_simd_ok<T>>>
#define MSL_S1(f) MSL_ST T f(T);
    MSL_S1(simd_sum) MSL_S1(simd_product) MSL_S1(simd_max) MSL_S1(simd_min) MSL_S1(simd_and) MSL_S1(simd_or)
MSL_S1(simd_xor) MSL_S1(simd_broadcast_first) MSL_S1(simd_prefix_inclusive_sum)
MSL_S1(simd_prefix_exclusive_sum) MSL_S1(quad_sum) MSL_S1(quad_max) MSL_S1(quad_min)
#define MSL_S2(f) MSL_ST T f(T, ushort);
MSL_S2(simd_shuffle) MSL_S2(simd_broadcast) MSL_S2(simd_shuffle_xor) MSL_S2(simd_shuffle_down)
MSL_S2(simd_shuffle_up) MSL_S2(simd_shuffle_rotate_down) MSL_S2(simd_shuffle_rotate_up)
MSL_S2(quad_broadcast) MSL_S2(quad_shuffle_xor) MSL_S2(quad_shuffle_down)
MSL_S2(quad_shuffle) MSL_ST T simd_shuffle_and_fill_up(T, T, ushort);
MSL_ST T simd_shuffle_and_fill_down(T, T, ushort);
bool simd_all(bool);
bool simd_any(bool);
bool simd_is_first();
struct simd_vote {
  ulong v;
  explicit operator ulong() const { return v; }
};
simd_vote simd_ballot(bool);

template <class T, int C, int R>
struct simdgroup_matrix {
  static_assert(C == 8 && R == 8, "only 8x8");
  vec<T, 2> e;
  // constructors unqualified: with `thread` OpenCL C++ makes no return value
  simdgroup_matrix() = default;
  explicit simdgroup_matrix(T) {}
  thread vec<T, 2>& thread_elements() thread { return e; }
};
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
template <class T, int C, int R = C>
simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(T);
template <class T>
void simdgroup_load(thread simdgroup_matrix<T, 8, 8>&, const device T*, ulong = 8, ulong2 = 0, bool = false);
template <class T>
void simdgroup_load(thread simdgroup_matrix<T, 8, 8>&, const threadgroup T*, ulong = 8, ulong2 = 0,
                    bool = false);
template <class T>
void simdgroup_store(const thread simdgroup_matrix<T, 8, 8>&, device T*, ulong = 8, ulong2 = 0, bool = false);
template <class T>
void simdgroup_store(const thread simdgroup_matrix<T, 8, 8>&, threadgroup T*, ulong = 8, ulong2 = 0,
                     bool = false);
template <class D, class A, class B, class C>
void simdgroup_multiply_accumulate(thread simdgroup_matrix<D, 8, 8>&, thread simdgroup_matrix<A, 8, 8>&,
                                   thread simdgroup_matrix<B, 8, 8>&, thread simdgroup_matrix<C, 8, 8>&);
template <class D, class A, class B>
void simdgroup_multiply(thread simdgroup_matrix<D, 8, 8>&, thread simdgroup_matrix<A, 8, 8>&,
                        thread simdgroup_matrix<B, 8, 8>&);

template <class T>
struct atomic {
  T v;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<float> atomic_float;
#define MSL_AT(S) \
  template <class T> \
  T atomic_load_explicit(const S atomic<T>*, memory_order); \
  template <class T> \
  void atomic_store_explicit(S atomic<T>*, T, memory_order); \
  template <class T> \
  T atomic_exchange_explicit(S atomic<T>*, T, memory_order); \
  template <class T> \
  T atomic_fetch_add_explicit(S atomic<T>*, _id2<T>, memory_order); \
  template <class T> \
  T atomic_fetch_max_explicit(S atomic<T>*, _id2<T>, memory_order); \
  template <class T> \
  T atomic_fetch_min_explicit(S atomic<T>*, _id2<T>, memory_order); \
  template <class T> \
  T atomic_fetch_or_explicit(S atomic<T>*, _id2<T>, memory_order); \
  template <class T> \
  T atomic_fetch_and_explicit(S atomic<T>*, _id2<T>, memory_order); \
  template <class T> \
  bool atomic_compare_exchange_weak_explicit(S atomic<T>*, thread T*, T, memory_order, memory_order);
template <class T>
using _id2 = typename conditional<true, T, void>::type;
MSL_AT(device) MSL_AT(threadgroup)
}  // namespace metal
