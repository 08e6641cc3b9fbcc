// lint stand-in for MLX's bf16_math.h: declarations only
#pragma once
namespace metal {
// for exactly bfloat: clang's __bf16 would convert from anything
#define MSL_BFT template <class T, class = enable_if_t<is_same<T, bfloat>::value>, class = void>
#define MSL_BF1(f) MSL_BFT T f(T);
#define MSL_BF2(f) MSL_BFT T f(T, T);
MSL_BF1(abs)
MSL_BF1(fabs) MSL_BF1(exp) MSL_BF1(exp2) MSL_BF1(log) MSL_BF1(log2) MSL_BF1(sin) MSL_BF1(cos) MSL_BF1(tanh)
    MSL_BF1(sqrt) MSL_BF1(rsqrt) MSL_BF1(floor) MSL_BF1(ceil) MSL_BF1(rint) MSL_BF1(round) MSL_BF1(trunc)
        MSL_BF2(min) MSL_BF2(max) MSL_BF2(fmin) MSL_BF2(fmax) MSL_BF2(pow) MSL_BFT bool isnan(T);
MSL_BFT bool isinf(T);
MSL_BF1(simd_sum)
MSL_BF1(simd_max) MSL_BF1(simd_min) MSL_BF1(simd_product) MSL_BF1(simd_broadcast_first)
#define MSL_BFL(f) MSL_BFT T f(T, ushort);
    MSL_BFL(simd_shuffle) MSL_BFL(simd_broadcast) MSL_BFL(simd_shuffle_xor) MSL_BFL(simd_shuffle_down)
        MSL_BFL(simd_shuffle_up)
}  // namespace metal
