// The intermediate results of a forward pass.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "aligned.h"
#include "kernels.h"
#include "router.h"

namespace flash {

constexpr int kAttentionTokens = 16;  // of one unit of attention work
constexpr int kSliceTokens = 128;  // computed together: enough to reuse weights, few enough for the cache

class ActivationBuffer {
 public:
  // Room for `rows` of k values; matrix tiles read, but do not use, up to 15 rows behind the last.
  void reserve(int rows, int k) {
    const std::size_t size = static_cast<std::size_t>(rows + kLanes) * k;
    if (size <= quants_.size()) return;
    quants_.resize(size);
    scales_.resize(size / kSmallestGroup);
    sums_.resize(size / kSmallestGroup);
  }

  // Rows of k values in the groups of the matrix that reads them.
  Activations view(int k, int group) { return {quants_.data(), scales_.data(), sums_.data(), k, group}; }

 private:
  static constexpr int kSmallestGroup = 32;

  Aligned<std::int8_t> quants_;
  Aligned<float> scales_;
  Aligned<float> sums_;
};

// What a kind of layer needs besides, it reserves (HeadProjection, FeedForward).
struct Workspace {
  Workspace(const AttentionShape& shape, int hidden, int threads)
      : residual(static_cast<std::size_t>(kSliceTokens) * hidden),
        attended(static_cast<std::size_t>(kSliceTokens) * shape.heads * shape.value_dim),
        normalized(threads),
        query_quants(static_cast<std::size_t>(kSliceTokens) * shape.heads * shape.key_dim),
        query_scales(static_cast<std::size_t>(kSliceTokens) * shape.heads),
        query_sums(static_cast<std::size_t>(kSliceTokens) * shape.heads),
        attended_parts(shape.kv_heads * kSliceTokens / kAttentionTokens) {
    for (ActivationBuffer& each : normalized) each.reserve(kSliceTokens, hidden);
    attention_out.reserve(kSliceTokens, shape.heads * shape.value_dim);
  }

  Queries queries() { return {query_quants.data(), query_scales.data(), query_sums.data()}; }

  Aligned<float> residual;  // [tokens][hidden]
  Aligned<float> attended;  // [tokens][heads][value_dim]
  std::vector<ActivationBuffer> normalized;  // one for each thread; the first is also that of all (Pass::normalize)
  ActivationBuffer attention_out;
  ActivationBuffer gated;
  Aligned<float> latents;  // [tokens][rows of LatentHeads' down, in whole lanes]
  ActivationBuffer query_latents;
  ActivationBuffer kv_latents;
  Aligned<std::int8_t> query_quants;
  Aligned<float> query_scales;
  Aligned<std::int32_t> query_sums;
  Routes routes;
  std::vector<std::atomic<int>> attended_parts;  // of the heads of a stage of attention; zeros between stages
  Aligned<float> partials;                       // [tokens][heads][attention blocks][partial_size]
};

}  // namespace flash
