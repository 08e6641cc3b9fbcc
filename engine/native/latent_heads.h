// Heads from latent vectors, as DeepSeek-V2 has them (DeepSeek-AI 2024).
#pragma once

#include <optional>

#include "heads.h"

namespace flash {

// A head's query and key have values that positions do not turn, then `rope_dim` that they do, the latter the same for
// all heads of a key. In the cache every head has its own key and value, expanded. There, rotated values come first in
// both halves of a head, so that the halves' pairs are those of a rope table whose other angles are zero.
class LatentHeads : public HeadProjection {
 public:
  // down: rows of the queries (or of their latent vector, if query_up makes them from it), of the latent vector of keys
  // and values, and of the rotated values of keys. kv_up: for each head, rows of the key, then of the value.
  LatentHeads(Linear down, Norm query_norm, std::optional<Linear> query_up, Norm kv_norm, Linear kv_up, int rope_dim)
      : down_(std::move(down)),
        query_norm_(std::move(query_norm)),
        query_up_(std::move(query_up)),
        kv_norm_(std::move(kv_norm)),
        kv_up_(std::move(kv_up)),
        rope_dim_(rope_dim) {}

  void check(const AttentionShape& shape, int hidden) const override;
  void reserve(Workspace& work) const override;
  int group() const override { return down_.group(); }
  std::size_t bytes() const override;
  void run(Pass& pass, int layer) const override;
  Reading entry(const AttentionShape&) const override { return {&down_, down_.blocks()}; }

 private:
  int query_width() const { return down_.rows() - kv_up_.k() - rope_dim_; }  // of `down`'s rows
  const float* latents(const Pass& pass, int token) const;
  void normalize(Pass& pass) const;
  void make_query(Pass& pass, int head) const;
  void make_key_and_value(Pass& pass, int layer, int head) const;
  const float* arranged(const float* still, const float* rotated, int still_dim, float* out) const;

  Linear down_;
  Norm query_norm_;
  std::optional<Linear> query_up_;
  Norm kv_norm_;
  Linear kv_up_;
  int rope_dim_;
};

}  // namespace flash
