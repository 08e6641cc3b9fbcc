// Attention of kernels.h: int8 queries against the int8 cache, exact integer sums within a block of 256 positions, so
// that neither the order nor masked positions can change a bit. See kernels.inl for the rules of this file.
#include <cmath>
#include <cstddef>

#include "kernels.h"

namespace {

using flash::AttentionShape;
using flash::kAttentionBlock;
using flash::Partials;
using flash::Queries;

template <int N>
struct Count {
  static constexpr int value = N;
};

// R heads of one token that share a KV head, over the first `visible` positions of a block but the first `hidden`,
// fewer than 16.
template <int R>
inline void attend_heads(const AttentionShape& shape, KvBlock kv, int hidden, int visible, const std::int8_t* queries,
                         const float* scales, const std::int32_t* sums, float* partial,
                         std::ptrdiff_t partial_stride) {
  const int tiles = (visible + 15) / 16;
  const auto shown = [&](int tile, F values, F otherwise) {
    return first(hidden - 16 * tile, otherwise, first(visible - 16 * tile, values, otherwise));
  };
  float scores[R][kAttentionBlock];
  F top[R];
  for (int r = 0; r < R; ++r) top[r] = splat(-INFINITY);
  for (int tile = 0; tile < tiles; ++tile) {
    const std::int8_t* values = kv.values + tile * 16 * shape.value_dim;
    for (int i = 0; i < 16 * shape.value_dim; i += 64) __builtin_prefetch(values + i);
    I dots[R];
    key_dots<R>(kv.keys + tile * 16 * shape.key_dim, shape.key_dim, queries, sums, dots);
    const F key_scale = load(kv.key_scales + 16 * tile);
    for (int r = 0; r < R; ++r) {
      const F score = mul(mul(to_float(dots[r]), key_scale), splat(scales[r]));
      const F masked = shown(tile, score, splat(-INFINITY));
      store(scores[r] + 16 * tile, masked);
      top[r] = max(top[r], masked);
    }
  }

  PositionWeights weights[R];
  float steps[R];
  for (int r = 0; r < R; ++r) {
    const float highest = maximum(top[r]);
    F total = splat(0.0f);
    F largest = splat(0.0f);
    for (int tile = 0; tile < tiles; ++tile) {
      const F e = exponential(sub(load(scores[r] + 16 * tile), splat(highest)));
      const F weight = shown(tile, e, splat(0.0f));
      const F scaled = mul(weight, load(kv.value_scales + 16 * tile));
      total = add(total, weight);
      largest = max(largest, scaled);
      store(scores[r] + 16 * tile, scaled);
    }
    constexpr float kTop = 16383.0f;
    const float limit = maximum(largest);
    const float inverse = limit < 1e-30f ? 0.0f : kTop / limit;
    steps[r] = limit / kTop;
    for (int tile = 0; tile < tiles; ++tile)
      weights[r].set(16 * tile, to_int(mul(load(scores[r] + 16 * tile), splat(inverse))));
    partial[r * partial_stride + shape.value_dim] = highest;
    partial[r * partial_stride + shape.value_dim + 1] = sum(total);
  }

  for (int d = 0; d < shape.value_dim; d += kValueLanes) {
    I dots[R][kValueLanes / 16];
    value_dots<R>(kv.values + 4 * d, 4 * tiles, shape.value_dim, weights, dots);
    for (int r = 0; r < R; ++r)
      for (int i = 0; i < kValueLanes / 16; ++i)
        store(partial + r * partial_stride + d + 16 * i, mul(to_float(dots[r][i]), splat(steps[r])));
  }
}

// The block from its 16 positions `tile` on.
inline KvBlock behind(const AttentionShape& shape, KvBlock kv, int tile) {
  return {kv.keys + tile * 16 * shape.key_dim, kv.values + tile * 16 * shape.value_dim, kv.key_scales + 16 * tile,
          kv.value_scales + 16 * tile};
}

inline void attend(const AttentionShape& shape, KvBlock kv, int block, int kv_head, int first, int last, int start,
                   int window, Queries queries, Partials partials) {
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(partials.blocks) * shape.partial_size();
  for (int t = first; t < last; ++t) {
    const int end = start + t + 1 - block * kAttentionBlock;
    const int hidden = end - window > 0 ? end - window : 0;
    if (end <= 0 || hidden >= kAttentionBlock) continue;
    const int visible = end < kAttentionBlock ? end : kAttentionBlock;
    const int tile = hidden / 16;
    const KvBlock rest = behind(shape, kv, tile);
    for (int h = 0; h < shape.sharing();) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * shape.heads + kv_head * shape.sharing() + h;
      const std::int8_t* quants = queries.quants + at * shape.key_dim;
      float* partial = partials.data + at * stride + block * shape.partial_size();
      const int left = shape.sharing() - h;
      const auto run = [&](auto heads) {
        constexpr int R = decltype(heads)::value;
        attend_heads<R>(shape, rest, hidden - 16 * tile, visible - 16 * tile, quants, queries.scales + at,
                        queries.sums + at, partial, stride);
        h += R;
      };
      if (left >= 4)
        run(Count<4>{});
      else if (left == 3)
        run(Count<3>{});
      else if (left == 2)
        run(Count<2>{});
      else
        run(Count<1>{});
    }
  }
}

inline void combine(const AttentionShape& shape, const float* partials, int count, float* out) {
  const int dim = shape.value_dim;
  const int size = shape.partial_size();
  float highest = -INFINITY;
  for (int b = 0; b < count; ++b) {
    const float top = partials[b * size + dim];
    highest = top > highest ? top : highest;
  }
  F total = splat(0.0f);
  for (int i = 0; i < dim; i += 16) store(out + i, splat(0.0f));
  for (int b = 0; b < count; ++b) {
    const float* partial = partials + b * size;
    const F weight = exponential(splat(partial[dim] - highest));
    total = fma(weight, splat(partial[dim + 1]), total);
    for (int i = 0; i < dim; i += 16) store(out + i, fma(weight, load(partial + i), load(out + i)));
  }
  for (int i = 0; i < dim; i += 16) store(out + i, div(load(out + i), total));
}

}  // namespace
