// A wide pass's attention joined: a block puts one token into its image of eight.
__shared__ float shares[NS * H];
using P = Product<T, half, 8, H * D, BITS, GROUP, WARPS, U>;
uint4* image = (uint4*)y + blockIdx.x / 8 * P::IMAGE;
stage_joined<P, T, 1, H, D, NS, WARPS>(image, shares, parts, stats, tokens, blockIdx.x, 1, blockIdx.x % 8, [] {});
