#include "heads.h"

#include "scratch.h"

namespace flash {
namespace {

// A position's place in the cache and in the rope table.
struct Place {
  Place(const Pass& pass, int token)
      : block((pass.slice.start + token) / kAttentionBlock), slot((pass.slice.start + token) % kAttentionBlock) {
    const std::ptrdiff_t angles = static_cast<std::ptrdiff_t>(pass.slice.start + token) * (pass.shape.key_dim / 2);
    cosine = pass.rope.cosines.data() + angles;
    sine = pass.rope.sines.data() + angles;
  }
  int block;
  int slot;
  const float* cosine;
  const float* sine;
};

}  // namespace

void store_query(Pass& pass, int token, int head, const float* values) {
  const Place place(pass, token);
  const Queries queries = pass.work.queries();
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(token) * pass.shape.heads + head;
  const int dim = pass.shape.key_dim;
  pass.kernels.store_query(values, place.cosine, place.sine, dim, queries.quants + at * dim, queries.scales + at,
                           queries.sums + at);
}

void store_key(Pass& pass, int layer, int token, int kv_head, const float* values) {
  const Place place(pass, token);
  pass.kernels.store_key(values, place.cosine, place.sine, pass.shape.key_dim,
                         pass.slice.cache.block(layer, kv_head, place.block), place.slot);
}

void store_value(Pass& pass, int layer, int token, int kv_head, const float* values) {
  const Place place(pass, token);
  pass.kernels.store_value(values, pass.shape.value_dim, pass.slice.cache.block(layer, kv_head, place.block),
                           place.slot);
}

void JoinedHeads::check(const AttentionShape& shape, int hidden) const {
  if (shape.key_dim != shape.value_dim)
    throw std::invalid_argument("queries, keys and values from one matrix have one size of head");
  require_shape(qkv_, (shape.heads + 2 * shape.kv_heads) * shape.key_dim, hidden, "q, k, v");
  for (const Norm* norm : {&query_norm_, &key_norm_})
    if (!norm->weight.empty()) require_size(*norm, shape.key_dim, "the norm of queries or keys");
}

// A unit is one head of q, k or v for all tokens.
void JoinedHeads::run(Pass& pass, int layer) const {
  const int heads = pass.shape.heads;
  const int kv_heads = pass.shape.kv_heads;
  const int dim = pass.shape.key_dim;
  const int count = pass.slice.count;
  const auto normed = [&](const Norm& norm, float* head) {
    if (!norm.weight.empty()) pass.kernels.norm_head(head, norm.weight.data(), norm.epsilon, dim, head);
    return head;
  };
  pass.crew.share(heads + 2 * kv_heads, 1, [&](int head, int) {
    float* values = scratch(static_cast<std::size_t>(count) * dim);
    pass.kernels.matmul(qkv_.packed(), head * dim / kLanes, (head + 1) * dim / kLanes, qkv_.bias(),
                        pass.normalized(qkv_), count, values - head * dim, dim);
    for (int t = 0; t < count; ++t, values += dim) {
      if (head < heads)
        store_query(pass, t, head, normed(query_norm_, values));
      else if (head < heads + kv_heads)
        store_key(pass, layer, t, head - heads, normed(key_norm_, values));
      else
        store_value(pass, layer, t, head - heads - kv_heads, values);
    }
  });
}

}  // namespace flash
