#include "latent_heads.h"

#include <algorithm>
#include <stdexcept>

#include "scratch.h"

namespace flash {

void LatentHeads::check(const AttentionShape& shape, int hidden) const {
  const int queries = shape.heads * shape.key_dim;
  const int still = shape.key_dim - rope_dim_;
  if (shape.heads != shape.kv_heads || still < 0 || still % 2 != 0 || rope_dim_ % 2 != 0 ||
      (still + shape.value_dim) % kLanes != 0)
    throw std::invalid_argument("keys of " + std::to_string(still) + " and " + std::to_string(rope_dim_) +
                                " values beside values of " + std::to_string(shape.value_dim) + " are not supported");
  const int width = query_up_ ? query_up_->k() : queries;
  require_shape(down_, width + kv_up_.k() + rope_dim_, hidden, "queries and latent vectors");
  if (query_up_) {
    require_shape(*query_up_, queries, width, "queries from their latent vector");
    require_size(query_norm_, width, "the norm of the queries' latent vector");
  }
  require_shape(kv_up_, shape.heads * (still + shape.value_dim), kv_up_.k(), "keys and values from latent vectors");
  require_size(kv_norm_, kv_up_.k(), "the norm of the latent vector");
}

void LatentHeads::reserve(Workspace& work) const {
  const std::size_t size = static_cast<std::size_t>(kSliceTokens) * down_.blocks() * kLanes;
  if (work.latents.size() < size) work.latents.resize(size);
  if (query_up_) work.query_latents.reserve(kSliceTokens, query_up_->k());
  work.kv_latents.reserve(kSliceTokens, kv_up_.k());
}

std::size_t LatentHeads::bytes() const {
  return down_.bytes() + (query_up_ ? query_up_->bytes() : 0) + kv_up_.bytes();
}

void LatentHeads::run(Pass& pass, int layer) const {
  pass.project({0, pass.slice.count}, down_, down_.blocks(), pass.work.latents.data());
  normalize(pass);
  const int heads = pass.shape.heads;
  pass.crew.share(2 * heads, 1, [&](int unit, int) {
    if (unit < heads)
      make_query(pass, unit);
    else
      make_key_and_value(pass, layer, unit - heads);
  });
}

// What `down` has made of a token.
const float* LatentHeads::latents(const Pass& pass, int token) const {
  return pass.work.latents.data() + static_cast<std::ptrdiff_t>(token) * down_.blocks() * kLanes;
}

void LatentHeads::normalize(Pass& pass) const {
  const Activations kv = pass.work.kv_latents.view(kv_up_.k(), kv_up_.group());
  pass.crew.share(pass.slice.count, pass.grain(pass.slice.count), [&](int first, int last) {
    for (int t = first; t < last; ++t) {
      if (query_up_) {
        const Activations queries = pass.work.query_latents.view(query_up_->k(), query_up_->group());
        query_norm_.run(pass.kernels, latents(pass, t), queries.from(t));
      }
      kv_norm_.run(pass.kernels, latents(pass, t) + query_width(), kv.from(t));
    }
  });
}

void LatentHeads::make_query(Pass& pass, int head) const {
  const int dim = pass.shape.key_dim;
  const int still = dim - rope_dim_;
  const int count = pass.slice.count;
  float* made = nullptr;
  if (query_up_) {
    made = scratch(static_cast<std::size_t>(count) * dim);
    pass.kernels.matmul(query_up_->packed(), head * dim / kLanes, (head + 1) * dim / kLanes, query_up_->bias(),
                        pass.work.query_latents.view(query_up_->k(), query_up_->group()), count, made - head * dim,
                        dim);
  }
  float query[kMostHeadDim];
  for (int t = 0; t < count; ++t) {
    const float* values = made ? made + t * dim : latents(pass, t) + head * dim;
    store_query(pass, t, head, arranged(values, values + still, still, query));
  }
}

void LatentHeads::make_key_and_value(Pass& pass, int layer, int head) const {
  const int still = pass.shape.key_dim - rope_dim_;
  const int dim = still + pass.shape.value_dim;
  const int count = pass.slice.count;
  float* made = scratch(static_cast<std::size_t>(count) * dim);
  pass.kernels.matmul(kv_up_.packed(), head * dim / kLanes, (head + 1) * dim / kLanes, kv_up_.bias(),
                      pass.work.kv_latents.view(kv_up_.k(), kv_up_.group()), count, made - head * dim, dim);
  float key[kMostHeadDim];
  for (int t = 0; t < count; ++t, made += dim) {
    const float* rotated = latents(pass, t) + query_width() + kv_up_.k();
    store_key(pass, layer, t, head, arranged(made, rotated, still, key));
    store_value(pass, layer, t, head, made + still);
  }
}

// A head as it is in the cache: the first halves of its rotated and other values, then the second ones.
const float* LatentHeads::arranged(const float* still, const float* rotated, int still_dim, float* out) const {
  float* end = out;
  for (const int half : {0, 1}) {
    end = std::copy_n(rotated + half * rope_dim_ / 2, rope_dim_ / 2, end);
    end = std::copy_n(still + half * still_dim / 2, still_dim / 2, end);
  }
  return out;
}

}  // namespace flash
