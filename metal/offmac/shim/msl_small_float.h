// half is the compiler's own _Float16. bfloat is a 16-bit class, because MSL's
// bfloat converts implicitly to float only and never from anything (a compiler's
// __bf16 is laxer). Arithmetic goes through float and rounds once; for + - * / that
// is what a native 16-bit unit gives (24 >= 2 * 11 + 2 significand bits).
#pragma once
namespace metal {
MSL_FN float _bits_to_float(uint u) {
  float f;
  __builtin_memcpy(&f, &u, 4);
  return f;
}
MSL_FN uint _float_to_bits(float f) {
  uint u;
  __builtin_memcpy(&u, &f, 4);
  return u;
}

struct _bf16_format {
  static constexpr bool from_wider_is_implicit = false;
  static MSL_FN float up(ushort b) { return _bits_to_float(uint(b) << 16); }
  static MSL_FN ushort down(float f) {
    uint u = _float_to_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u) return ushort((u >> 16) | 0x40u);
    return ushort((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
};

struct _bits_tag {};
template <class F>
struct _small_float {
  ushort bits;
  _small_float() = default;
  MSL_FN constexpr _small_float(ushort b, _bits_tag) : bits(b) {}
  template <class U,
            enable_if_t<(_is_int<U>::value || is_same<U, float>::value || is_same<U, double>::value) &&
                            F::from_wider_is_implicit,
                        int> = 0>
  MSL_FN _small_float(U x) : bits(F::down(float(x))) {}
  template <class U,
            enable_if_t<(_is_int<U>::value || is_same<U, float>::value || is_same<U, double>::value) &&
                            !F::from_wider_is_implicit,
                        int> = 0>
  MSL_FN explicit _small_float(U x) : bits(F::down(float(x))) {}
  MSL_FN explicit _small_float(_Float16 x) : bits(F::down(float(x))) {}
  template <class G, enable_if_t<!is_same<F, G>::value, int> = 0>
  MSL_FN explicit _small_float(_small_float<G> o) : bits(F::down(float(o))) {}
  MSL_FN operator float() const { return F::up(bits); }
  MSL_FN constexpr _small_float operator-() const {
    return _small_float(ushort(bits ^ 0x8000u), _bits_tag{});
  }
  template <class U>
  MSL_FN _small_float& operator+=(U o) {
    return *this = _small_float(*this + o);
  }
  template <class U>
  MSL_FN _small_float& operator-=(U o) {
    return *this = _small_float(*this - o);
  }
  template <class U>
  MSL_FN _small_float& operator*=(U o) {
    return *this = _small_float(*this * o);
  }
  template <class U>
  MSL_FN _small_float& operator/=(U o) {
    return *this = _small_float(*this / o);
  }
};
#define MSL_SF(op) \
  template <class F> \
  MSL_FN _small_float<F> operator op(_small_float<F> a, _small_float<F> b) { \
    return _small_float<F>(float(a) op float(b)); \
  } \
  template <class F> \
  MSL_FN float operator op(_small_float<F> a, float b) { \
    return float(a) op b; \
  } \
  template <class F> \
  MSL_FN float operator op(float a, _small_float<F> b) { \
    return a op float(b); \
  } \
  template <class F, class I, enable_if_t<_is_int<I>::value, int> = 0> \
  MSL_FN _small_float<F> operator op(_small_float<F> a, I b) { \
    return _small_float<F>(float(a) op float(_small_float<F>(b))); \
  } \
  template <class F, class I, enable_if_t<_is_int<I>::value, int> = 0> \
  MSL_FN _small_float<F> operator op(I a, _small_float<F> b) { \
    return _small_float<F>(float(_small_float<F>(a)) op float(b)); \
  }
MSL_SF(+)
MSL_SF(-) MSL_SF(*) MSL_SF(/)
#undef MSL_SF
#define MSL_SF(op) \
  template <class F> \
  MSL_FN bool operator op(_small_float<F> a, _small_float<F> b) { \
    return float(a) op float(b); \
  } \
  template <class F, class U, enable_if_t<_is_int<U>::value || is_same<U, float>::value, int> = 0> \
  MSL_FN bool operator op(_small_float<F> a, U b) { \
    return float(a) op float(b); \
  } \
  template <class F, class U, enable_if_t<_is_int<U>::value || is_same<U, float>::value, int> = 0> \
  MSL_FN bool operator op(U a, _small_float<F> b) { \
    return float(a) op float(b); \
  }
    MSL_SF(<) MSL_SF(>) MSL_SF(<=) MSL_SF(>=) MSL_SF(==) MSL_SF(!=)
#undef MSL_SF
}  // namespace metal
typedef metal::_small_float<metal::_bf16_format> bfloat;
MSL_FN constexpr bfloat _bfloat_lit(ushort b) { return bfloat(b, metal::_bits_tag{}); }
typedef _Float16 half;
MSL_FN constexpr half _half_lit(ushort b) { return __builtin_bit_cast(half, b); }
