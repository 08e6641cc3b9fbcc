// A wide pass's attention joined: a block puts one token into its image of eight.
__shared__ float shares[NS * H];
using P = Product<T, half, 8, H * D, BITS, GROUP, 1, 2>;
stage_joined<P, T, 1, H, D, NS, WARPS>((uint4*)y + blockIdx.x / 8 * P::IMAGE, shares, parts, stats, tokens, blockIdx.x, 1,
                                       blockIdx.x % 8);
