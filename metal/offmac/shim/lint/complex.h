// lint stand-in for MLX's complex.h. The real one passes but for constructors
// qualified `thread`, with which OpenCL C++ will not make a return value.
#pragma once
#include <metal_stdlib>
using namespace metal;
template <typename T>
struct complex_t {
  T real, imag;
  constexpr complex_t() : real(0), imag(0) {}
  constexpr complex_t(T r, T i) : real(r), imag(i) {}
  template <class U>
  constexpr complex_t(U r) : real(static_cast<T>(r)), imag(static_cast<T>(0)) {}
};
typedef complex_t<float> complex64_t;
