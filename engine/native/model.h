// A transformer on weights of 4, 8 or 16 bits, mixed by matrix.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "attention.h"
#include "cache.h"
#include "feed_forward.h"
#include "heads.h"
#include "kernels.h"
#include "laps.h"
#include "linear.h"
#include "norm.h"
#include "pass.h"
#include "pool.h"
#include "workspace.h"

namespace flash {

struct Layer {
  Norm attention_norm;
  std::shared_ptr<const HeadProjection> heads;
  Attention attention;
  Norm feed_forward_norm;
  std::shared_ptr<const FeedForward> feed_forward;
};

struct Weights {
  std::shared_ptr<const Matrix> embedding;
  float embedding_scale;
  std::vector<Layer> layers;
  Norm norm;
  Linear head;  // the embedding itself where they are tied
  RopeTable rope;
};

class Model {
 public:
  // Throws std::invalid_argument naming the weight whose shape does not fit.
  Model(AttentionShape shape, Weights weights, const Kernels& kernels, int threads);

  int capacity() const { return static_cast<int>(weights_.rope.cosines.size()) / (shape_.key_dim / 2); }
  int vocabulary() const { return weights_.head.rows(); }
  int threads() const { return pool_.size(); }
  const char* isa() const { return kernels_.name; }

  // Bytes of weights that one token reads for each operation: all but the embedding, of which it takes a row.
  WeightBytes weight_bytes() const;

  KvCache new_cache() const { return {static_cast<int>(weights_.layers.size()), shape_}; }

  // Floats from one row of logits to the next.
  int logits_stride() const { return weights_.head.blocks() * kLanes; }

  // Appends `tokens` to the cache and writes the logits of the last `wanted` of them, [wanted][logits_stride()].
  // Throws std::invalid_argument for an id outside the vocabulary and std::length_error beyond the capacity; the
  // cache is then as before. Returns false, the cache as before, if `cancel` (may be null) became true in between:
  // soon after, for what every thread does at a time is short. `laps` (may be null) gets the time of each operation.
  // Of the logits only the first `ids` of the vocabulary are computed, rounded up to whole blocks.
  bool forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits,
               const std::atomic<bool>* cancel, Laps* laps, int ids);
  bool forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits,
               const std::atomic<bool>* cancel, Laps* laps) {
    return forward(tokens, cache, wanted, logits, cancel, laps, vocabulary());
  }

 private:
  void run(Pass& pass, float* logits) const;
  void embed(Pass& pass) const;

  AttentionShape shape_;
  Weights weights_;
  const Kernels& kernels_;
  Pool pool_;
  int hidden_;
  Workspace work_;
};

}  // namespace flash
