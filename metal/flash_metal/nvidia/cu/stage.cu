// A wide pass's activations, normed (NORM) or as they are: a block puts one token into its image of eight.
__shared__ float squares[WARPS];
using P = Product<T, half, 8, K, BITS, GROUP, WARPS, U>;
uint4* image = (uint4*)y + blockIdx.x / 8 * P::IMAGE;
const T* row = x + blockIdx.x * K;
if constexpr (NORM) {
  stage_normed<P, T, 1, K, WARPS>(image, squares, row, Norm<P, T>(norm, (const float*)eps), 1, blockIdx.x % 8, [] {});
} else {
  stage_plain<P, T, 1, K>(image, row, 1, blockIdx.x % 8, [] {});
}
