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

// N times 16 keys or values, into the second-level cache: blocks are short, and the processor's own prefetching begins
// anew with each.
template <int N, class Byte>
inline void prefetch_tiles(const Byte* data, int dim) {
  for (int i = 0; i < N * 16 * dim; i += 64) __builtin_prefetch(data + i, 0, 2);
}

// R heads of one token that share a KV head, over the first `visible` positions of a block but the first `hidden`,
// fewer than 16. Scores are in base 2; a position's weight, by its value's scale, has 7 bits beside the largest of the
// block. (14 bits gave no better text: 0.7459 bits a byte against 0.7462.)
template <int R>
inline void attend_heads(const AttentionShape& shape, KvBlock kv, int hidden, int visible, const std::int8_t* queries,
                         const float* scales, const std::int32_t* sums, float* partial,
                         std::ptrdiff_t partial_stride) {
  const int tiles = (visible + 15) / 16;
  const auto shown = [&](int tile, F values, F otherwise) {
    if (hidden <= 16 * tile && visible >= 16 * tile + 16) return values;
    return first(hidden - 16 * tile, otherwise, first(visible - 16 * tile, values, otherwise));
  };
  constexpr float kLog2OfE = 1.44269504f;
  float scores[R][kAttentionBlock];
  F top[R];
  for (int r = 0; r < R; ++r) top[r] = splat(-INFINITY);
  const auto score_tiles = [&](int begin, auto count) {
    constexpr int N = decltype(count)::value;
    prefetch_tiles<N>(kv.keys + (begin + 8) * 16 * shape.key_dim, shape.key_dim);
    prefetch_tiles<N>(kv.values + begin * 16 * shape.value_dim, shape.value_dim);
    I dots[N][R];
    key_dots<R, N>(kv.keys + begin * 16 * shape.key_dim, shape.key_dim, queries, sums, dots);
    for (int n = 0; n < N; ++n) {
      const F key_scale = load(kv.key_scales + 16 * (begin + n));
      for (int r = 0; r < R; ++r) {
        const F score = mul(mul(to_float(dots[n][r]), key_scale), splat(scales[r] * kLog2OfE));
        const F masked = shown(begin + n, score, splat(-INFINITY));
        store(scores[r] + 16 * (begin + n), masked);
        top[r] = max(top[r], masked);
      }
    }
  };
  int tile = 0;
  for (; tile + kKeyTiles<R> <= tiles; tile += kKeyTiles<R>) score_tiles(tile, Count<kKeyTiles<R>>{});
  for (; tile < tiles; ++tile) score_tiles(tile, Count<1>{});

  std::int8_t weights[R][kAttentionBlock];
  float steps[R];
  for (int r = 0; r < R; ++r) {
    const float highest = maximum(top[r]);
    F total = splat(0.0f);
    F largest = splat(0.0f);
    for (tile = 0; tile < tiles; ++tile) {
      const F e = power_of_two(sub(load(scores[r] + 16 * tile), splat(highest)));
      const F weight = shown(tile, e, splat(0.0f));
      const F scaled = mul(weight, load(kv.value_scales + 16 * tile));
      total = add(total, weight);
      largest = max(largest, scaled);
      store(scores[r] + 16 * tile, scaled);
    }
    const Scale scale = symmetric(maximum(largest));
    steps[r] = scale.value;
    for (tile = 0; tile < tiles; ++tile)
      store_bytes(weights[r] + 16 * tile, to_int(mul(load(scores[r] + 16 * tile), splat(scale.inverse))));
    partial[r * partial_stride + shape.value_dim] = highest;
    partial[r * partial_stride + shape.value_dim + 1] = sum(total);
  }

  const auto add_values = [&](int d, auto count) {
    constexpr int N = decltype(count)::value;
    I dots[R][N];
    value_dots<R, N>(kv.values + 4 * d, 4 * tiles, shape.value_dim, weights, dots);
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < N; ++n)
        store(partial + r * partial_stride + d + 16 * n, mul(to_float(dots[r][n]), splat(steps[r])));
  };
  int d = 0;
  for (; d + 16 * kValueSpans <= shape.value_dim; d += 16 * kValueSpans) add_values(d, Count<kValueSpans>{});
  for (; d < shape.value_dim; d += 16) add_values(d, Count<1>{});
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
    const F weight = power_of_two(splat(partial[dim] - highest));
    total = fma(weight, splat(partial[dim + 1]), total);
    for (int i = 0; i < dim; i += 16) store(out + i, fma(weight, load(partial + i), load(out + i)));
  }
  for (int i = 0; i < dim; i += 16) store(out + i, div(load(out + i), total));
}

}  // namespace
