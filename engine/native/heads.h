// From the normalized residual stream to queries, keys and values.
#pragma once

#include <cstddef>

#include "linear.h"
#include "pass.h"

namespace flash {

// One layer's way to its heads.
class HeadProjection {
 public:
  virtual ~HeadProjection() = default;

  // Throws std::invalid_argument naming what does not fit.
  virtual void check(const AttentionShape& shape, int hidden) const = 0;
  virtual void reserve(Workspace& work) const = 0;
  virtual int group() const = 0;          // of the activations that are read
  virtual std::size_t bytes() const = 0;  // of weights that a token reads

  // All tokens' queries into the workspace, their keys and values into the cache of `layer`.
  virtual void run(Pass& pass, int layer) const = 0;
  virtual Reading entry(const AttentionShape& shape) const = 0;  // what run() begins with
};

// All heads from one matrix: rows of q, k and v, one after the other.
class JoinedHeads : public HeadProjection {
 public:
  // query_norm, key_norm: RMS norms of each head, without weights where the model has none.
  JoinedHeads(Linear qkv, Norm query_norm, Norm key_norm)
      : qkv_(std::move(qkv)), query_norm_(std::move(query_norm)), key_norm_(std::move(key_norm)) {}

  void check(const AttentionShape& shape, int hidden) const override;
  void reserve(Workspace&) const override {}
  int group() const override { return qkv_.group(); }
  std::size_t bytes() const override { return qkv_.bytes(); }
  void run(Pass& pass, int layer) const override;
  Reading entry(const AttentionShape& shape) const override { return {&qkv_, shape.heads + 2 * shape.kv_heads}; }

 private:
  Linear qkv_;
  Norm query_norm_;
  Norm key_norm_;
};

// Finished heads of a token to where attention reads them; queries and keys are rotated to the token's position.
void store_query(Pass& pass, int token, int head, const float* values);
void store_key(Pass& pass, int layer, int token, int kv_head, const float* values);
void store_value(Pass& pass, int layer, int token, int kv_head, const float* values);

}  // namespace flash
