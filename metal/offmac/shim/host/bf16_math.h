// Stand-in for MLX's bf16_math.h: the functions that it adds for bfloat, by way
// of float (the real file calls __metal_* builtins of Apple's compiler).
#pragma once
namespace metal {
#define MSL_BF1(f) \
  MSL_FN bfloat f(bfloat x) { return bfloat(f(float(x))); }
#define MSL_BF2(f) \
  MSL_FN bfloat f(bfloat x, bfloat y) { return bfloat(f(float(x), float(y))); }
MSL_BF1(abs)
MSL_BF1(fabs) MSL_BF1(exp) MSL_BF1(exp2) MSL_BF1(log) MSL_BF1(log2) MSL_BF1(sin) MSL_BF1(cos) MSL_BF1(tanh)
    MSL_BF1(sqrt) MSL_BF1(rsqrt) MSL_BF1(floor) MSL_BF1(ceil) MSL_BF1(rint) MSL_BF1(round) MSL_BF1(trunc)
        MSL_BF2(min) MSL_BF2(max) MSL_BF2(fmin) MSL_BF2(fmax) MSL_BF2(pow) MSL_FN bool isnan(bfloat x) {
  return isnan(float(x));
}
MSL_FN bool isinf(bfloat x) { return isinf(float(x)); }
#define MSL_BFS(f) \
  MSL_FN bfloat f(bfloat x MSL_LINE_PARAM) { return bfloat(f(float(x) MSL_LINE_ARG)); }
MSL_BFS(simd_sum)
MSL_BFS(simd_max) MSL_BFS(simd_min) MSL_BFS(simd_product) MSL_BFS(simd_broadcast_first)
#define MSL_BFL(f) \
  MSL_FN bfloat f(bfloat x, ushort l MSL_LINE_PARAM) { return bfloat(f(float(x), l MSL_LINE_ARG)); }
    MSL_BFL(simd_shuffle) MSL_BFL(simd_broadcast) MSL_BFL(simd_shuffle_xor) MSL_BFL(simd_shuffle_down)
        MSL_BFL(simd_shuffle_up)
}  // namespace metal
