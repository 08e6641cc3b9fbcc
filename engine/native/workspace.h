// The intermediate results of a forward pass.
#pragma once

#include <cstdint>

#include "aligned.h"
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
  Aligned<std::int8_t> quants_;
  Aligned<float> scales_;
  Aligned<float> sums_;
};

struct Workspace {
  Workspace(const AttentionShape& shape, int hidden, int feed_forward)
      : attention_width(shape.heads * shape.head_dim),
        residual(static_cast<std::size_t>(kSliceTokens) * hidden),
        attended(static_cast<std::size_t>(kSliceTokens) * attention_width),
        normalized(hidden),
        attention_out(attention_width),
        gated(feed_forward),
        query_quants(static_cast<std::size_t>(kSliceTokens) * attention_width),
        query_scales(static_cast<std::size_t>(kSliceTokens) * shape.heads),
        query_sums(static_cast<std::size_t>(kSliceTokens) * shape.heads) {}

  Queries queries() { return {query_quants.data(), query_scales.data(), query_sums.data()}; }

  int attention_width;
  Aligned<float> residual;  // [tokens][hidden]
  Aligned<float> attended;  // [tokens][attention_width]
  ActivationBuffer normalized;
  ActivationBuffer attention_out;
  ActivationBuffer gated;
  Aligned<std::int8_t> query_quants;
  Aligned<float> query_scales;
  Aligned<std::int32_t> query_sums;
  Aligned<float> partials;  // [tokens][heads][attention blocks][partial_size]
};

}  // namespace flash
