// The work of one forward pass that depends on the instruction set, as a table of functions.
//
// Every table computes the same bits: integer products are exact, and floats are handled in 16 lanes with the same
// operations in the same order (see lanes_scalar.h), so a result depends neither on the instruction set nor on the
// number of tokens in a pass.
#pragma once

#include <cstddef>
#include <cstdint>

namespace flash {

constexpr int kLanes = 16;            // rows of a weight block, positions of a key block, floats handled together
constexpr int kMostHeadDim = 256;
constexpr int kAttentionBlock = 256;  // positions that attention reduces at a time, at absolute multiples

// Bits of a value: 4 and 8 are affine integers, 16 is an IEEE half as it is.
enum class Bits : int { k4 = 4, k8 = 8, k16 = 16 };

// A matrix, packed by Matrix: blocks of 16 rows; in a block, groups along k. The values of a group, 64 bytes a line:
//   4 bits   line i, byte 4 * row + j: low nibble k = 8 i + j, high nibble k = 8 i + 4 + j
//   8 bits   line i, byte 4 * row + j: k = 4 i + j
//   16 bits  half-line k: the 16 rows
// Behind integers lie the group's 16 scales and 16 biases (IEEE half): value = scale * integer + bias.
struct PackedMatrix {
  const std::uint8_t* data;
  int k;
  int group;
  Bits bits;

  int groups() const { return k / group; }
  int value_bytes() const { return group * kLanes * static_cast<int>(bits) / 8; }  // of a group
  int group_bytes() const { return value_bytes() + (bits == Bits::k16 ? 0 : 4 * kLanes); }
  const std::uint8_t* block(int index) const {
    return data + static_cast<std::int64_t>(index) * groups() * group_bytes();
  }
};

// int8 activations of some tokens, symmetric by group: value = scale * quant.
struct Activations {
  std::int8_t* quants;  // [tokens][k]
  float* scales;        // [tokens][k / group]
  float* sums;          // [tokens][k / group]: scale * sum of the group's quants
  int k;
  int group;

  int groups() const { return k / group; }
  Activations from(int token) const {
    const std::int64_t t = token;
    return {quants + t * k, scales + t * groups(), sums + t * groups(), k, group};
  }
};

// Keys and values of one layer, one KV head and one attention block.
struct KvBlock {
  std::uint8_t* keys;   // [256 / 16][key_dim / 4][16][4]: quant + 128
  std::int8_t* values;  // [256 / 4][value_dim][4]
  float* key_scales;    // [256]
  float* value_scales;  // [256]
};

// What is read next, and fetched meanwhile.
struct Upcoming {
  const std::uint8_t* data;
  std::ptrdiff_t bytes;
};

// Rotated int8 queries of some tokens: [tokens][heads][key_dim]; the score's 1 / sqrt(key_dim) is in the scale.
struct Queries {
  std::int8_t* quants;
  float* scales;       // [tokens][heads]
  std::int32_t* sums;  // [tokens][heads]: sum of the quants
};

struct AttentionShape {
  int heads;
  int kv_heads;
  int key_dim;
  int value_dim;

  int sharing() const { return heads / kv_heads; }
  int partial_size() const { return value_dim + kLanes; }
};

// Partial results of attention, one for each token, head and block, as [tokens][heads][blocks]: `value_dim` sums of
// values weighted by exp(score - maximum), then the maximum and the sum of the weights.
struct Partials {
  float* data;
  int blocks;
};

enum class Activation : int { kSilu, kGelu, kGeluTanh };

// Of an activation function, `count` values from `first` on.
using Activate = void (*)(const float* x, int first, int count, Activations out);

struct Kernels {
  const char* name;

  // Activations row of RMSNorm(x) * weight.
  void (*rms_norm)(const float* x, const float* weight, float epsilon, Activations out);
  // Activations row of LayerNorm(x) * weight + bias (Ba et al. 2016).
  void (*layer_norm)(const float* x, const float* weight, const float* bias, float epsilon, Activations out);
  // Activations row of x.
  void (*quantize)(const float* x, Activations out);
  // By Activation: of x, and of gate times up, which come in alternating runs of 16.
  Activate plain[3];
  Activate gated[3];
  // out[t][row] = bias[row] + row of the matrix times token t, for the rows of the blocks first <= b < last.
  void (*matmul)(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens, float* out,
                 std::ptrdiff_t stride);
  // The same, added to what `out` holds.
  void (*matmul_onto)(const PackedMatrix& w, int first, int last, const float* bias, Activations x, int tokens,
                      float* out, std::ptrdiff_t stride);

  // RMSNorm(head) * weight of one head's `dim` values.
  void (*norm_head)(const float* head, const float* weight, float epsilon, int dim, float* out);
  // Rotary embedding of one head (halves paired; Su et al. 2021), then int8 with one scale for the head.
  void (*store_query)(const float* head, const float* cosine, const float* sine, int dim, std::int8_t* quants,
                      float* scale, std::int32_t* sum);
  void (*store_key)(const float* head, const float* cosine, const float* sine, int dim, KvBlock block, int slot);
  void (*store_value)(const float* head, int dim, KvBlock block, int slot);

  // Partials of block `block` for the query heads of `kv_head` of the tokens first .. last-1, token t being at
  // position `start + t` and reading the last `window` positions up to its own; none of a block without any.
  void (*attend)(const AttentionShape& shape, KvBlock kv, int block, int kv_head, int first, int last, int start,
                 int window, Queries queries, Partials partials, Upcoming next);
  // Attention output of one token and head from `count` partials (Dao et al. 2023, flash decoding).
  void (*combine)(const AttentionShape& shape, const float* partials, int count, float* out);

  // Softmax of n values in place; what lies behind them in their last 16 is overwritten.
  void (*softmax)(float* x, int n);
  // `factor` times a row of the embedding.
  void (*dequantize_row)(const PackedMatrix& w, int row, float factor, float* out);
  // log(sum(exp(x))) of n values and the index of the first largest.
  void (*log_sum_exp)(const float* x, int n, int* best, float* result);

  // int8 products from registers, as fast as the instructions of matmul allow; returns how many.
  std::int64_t (*product_burst)(int rounds);
};

extern const Kernels kScalarKernels;
#if defined(FLASH_X86)
extern const Kernels kAvx2Kernels;
extern const Kernels kAvxVnniKernels;
extern const Kernels kAvx512Kernels;
extern const Kernels kAvx512VnniKernels;
extern const Kernels kAmxKernels;
#elif defined(FLASH_NEON)
extern const Kernels kNeonKernels;
extern const Kernels kNeonI8mmKernels;
#endif

}  // namespace flash
