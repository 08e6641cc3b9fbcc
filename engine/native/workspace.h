// The intermediate results of a forward pass.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

namespace flash {

constexpr int kSliceTokens = 128;  // computed together: enough to reuse weights, few enough for the cache

class ActivationBuffer {
 public:
  // Room for kSliceTokens; matrix tiles read, but do not use, up to 15 rows behind the last token.
  explicit ActivationBuffer(int k)
      : k_(k),
        quants_(static_cast<std::size_t>(kSliceTokens + kLanes) * k),
        scales_(quants_.size() / kSmallestGroup),
        sums_(quants_.size() / kSmallestGroup) {}

  // In the groups of the matrix that reads them.
  Activations view(int group) { return {quants_.data(), scales_.data(), sums_.data(), k_, group}; }

 private:
  static constexpr int kSmallestGroup = 32;

  int k_;
  std::vector<std::int8_t> quants_;
  std::vector<float> scales_;
  std::vector<float> sums_;
};

struct Workspace {
  Workspace(const AttentionShape& shape, int hidden, int feed_forward)
      : attention_width(shape.heads * shape.head_dim),
        qkv_width(attention_width + 2 * shape.kv_heads * shape.head_dim),
        residual(static_cast<std::size_t>(kSliceTokens) * hidden),
        qkv(static_cast<std::size_t>(kSliceTokens) * qkv_width),
        attended(static_cast<std::size_t>(kSliceTokens) * attention_width),
        gate_up(static_cast<std::size_t>(kSliceTokens) * 2 * feed_forward),
        normalized(hidden),
        attention_out(attention_width),
        gated(feed_forward),
        query_quants(static_cast<std::size_t>(kSliceTokens) * attention_width),
        query_scales(static_cast<std::size_t>(kSliceTokens) * shape.heads),
        query_sums(static_cast<std::size_t>(kSliceTokens) * shape.heads) {}

  Queries queries() { return {query_quants.data(), query_scales.data(), query_sums.data()}; }

  int attention_width;
  int qkv_width;
  std::vector<float> residual;  // [tokens][hidden]
  std::vector<float> qkv;       // [tokens][qkv_width]
  std::vector<float> attended;  // [tokens][attention_width]
  std::vector<float> gate_up;   // [tokens][2 * feed_forward]
  ActivationBuffer normalized;
  ActivationBuffer attention_out;
  ActivationBuffer gated;
  std::vector<std::int8_t> query_quants;
  std::vector<float> query_scales;
  std::vector<std::int32_t> query_sums;
  std::vector<float> partials;  // [tokens][heads][attention blocks][partial_size]
};

}  // namespace flash
