// Stand-in for MLX's complex.h (which overloads constructors on address spaces)
#pragma once
#include <metal_stdlib>
#include "mlx/backend/metal/kernels/bf16.h"
using namespace metal;
template <typename T>
struct complex_t {
  T real, imag;
  complex_t() = default;
  MSL_FN constexpr complex_t(T r, T i) : real(r), imag(i) {}
  template <class U>
  MSL_FN constexpr complex_t(U r) : real(T(r)), imag(T(0)) {}
};
typedef complex_t<float> complex64_t;
