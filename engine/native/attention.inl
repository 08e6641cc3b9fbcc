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
using flash::Upcoming;

template <int N>
struct Count {
  static constexpr int value = N;
};

// One head of one token before a block, of which it sees the positions hidden .. visible-1.
struct Query {
  const std::int8_t* quants;
  float scale;
  std::int32_t sum;
  int hidden;
  int visible;
  float* partial;
};

// Fetches what is read next into the second-level cache, evenly over `ticks` of the work before: a processor drops
// prefetches beyond those that it can have under way, and its own prefetching begins anew with each block.
class Prefetch {
 public:
  Prefetch(Upcoming next, int ticks) : next_(next), a_tick_(next.bytes / ticks + 1) {}

  void tick() {
    due_ += a_tick_;
    for (; done_ < due_ && done_ < next_.bytes; done_ += 64) __builtin_prefetch(next_.data + done_, 0, 2);
  }

 private:
  Upcoming next_;
  std::ptrdiff_t a_tick_;
  std::ptrdiff_t done_ = 0;
  std::ptrdiff_t due_ = 0;
};

// R queries of a KV head over `tiles` times 16 positions of a block. Scores are in base 2; a position's weight, by its
// value's scale, has 7 bits beside the largest of the block. (14 bits gave no better text: 0.7459 bits a byte against
// 0.7462.)
template <int R>
inline void attend_queries(const AttentionShape& shape, KvBlock kv, int tiles, const Query* queries,
                           Prefetch& prefetch) {
  QueryValue quants[R][flash::kMostHeadDim];
  std::int32_t sums[R];
  bool whole = true;
  for (int r = 0; r < R; ++r) {
    arrange_query(queries[r].quants, shape.key_dim, quants[r]);
    sums[r] = queries[r].sum;
    whole = whole && queries[r].hidden <= 0 && queries[r].visible >= 16 * tiles;
  }
  const auto shown = [&](int r, int tile, F values, F otherwise) {
    if (whole) return values;
    return first(queries[r].hidden - 16 * tile, otherwise, first(queries[r].visible - 16 * tile, values, otherwise));
  };
  constexpr float kLog2OfE = 1.44269504f;
  float scores[R][kAttentionBlock];
  F top[R];
  for (int r = 0; r < R; ++r) top[r] = splat(-INFINITY);
  const auto score_tiles = [&](int begin, auto count) {
    constexpr int N = decltype(count)::value;
    I dots[N][R];
    key_dots<R, N>(kv.keys + begin * 16 * shape.key_dim, shape.key_dim, quants, sums, dots);
    for (int n = 0; n < N; ++n) {
      prefetch.tick();
      const F key_scale = load(kv.key_scales + 16 * (begin + n));
      for (int r = 0; r < R; ++r) {
        const F score = mul(mul(to_float(dots[n][r]), key_scale), splat(queries[r].scale * kLog2OfE));
        const F masked = shown(r, begin + n, score, splat(-INFINITY));
        store(scores[r] + 16 * (begin + n), masked);
        top[r] = max(top[r], masked);
      }
    }
  };
  int tile = 0;
  for (; tile + kKeyTiles<R> <= tiles; tile += kKeyTiles<R>) score_tiles(tile, Count<kKeyTiles<R>>{});
  for (; tile < tiles; ++tile) score_tiles(tile, Count<1>{});

  // All queries take each step together: one's alone would wait for its highest score, then for its largest weight.
  float highest[R];
  for (int r = 0; r < R; ++r) highest[r] = maximum(top[r]);
  F totals[R];
  F largest[R];
  for (int r = 0; r < R; ++r) {
    F total = splat(0.0f);
    F most = splat(0.0f);
    for (tile = 0; tile < tiles; ++tile) {
      const F e = power_of_two(sub(load(scores[r] + 16 * tile), splat(highest[r])));
      const F weight = shown(r, tile, e, splat(0.0f));
      const F scaled = mul(weight, load(kv.value_scales + 16 * tile));
      total = add(total, weight);
      most = max(most, scaled);
      store(scores[r] + 16 * tile, scaled);
    }
    totals[r] = total;
    largest[r] = most;
  }
  Scale scales[R];
  for (int r = 0; r < R; ++r) scales[r] = symmetric(maximum(largest[r]));
  std::int8_t weights[R][kAttentionBlock];
  for (int r = 0; r < R; ++r) {
    for (tile = 0; tile < tiles; ++tile)
      store_bytes(weights[r] + 16 * tile, to_int(mul(load(scores[r] + 16 * tile), splat(scales[r].inverse))));
    queries[r].partial[shape.value_dim] = highest[r];
    queries[r].partial[shape.value_dim + 1] = sum(totals[r]);
  }

  const auto add_values = [&](int d, auto count) {
    constexpr int N = decltype(count)::value;
    I dots[R][N];
    value_dots<R, N>(kv.values + 4 * d, 4 * tiles, shape.value_dim, weights, dots);
    for (int r = 0; r < R; ++r)
      for (int n = 0; n < N; ++n)
        store(queries[r].partial + d + 16 * n, mul(to_float(dots[r][n]), splat(scales[r].value)));
  };
  int d = 0;
  for (; d + 16 * kValueSpans <= shape.value_dim; d += 16 * kValueSpans) add_values(d, Count<kValueSpans>{});
  for (; d < shape.value_dim; d += 16) add_values(d, Count<1>{});
}

// At most R queries.
template <int R>
inline void attend_some(const AttentionShape& shape, KvBlock kv, int tiles, const Query* queries, int count,
                        Prefetch& prefetch) {
  if (count == R) return attend_queries<R>(shape, kv, tiles, queries, prefetch);
  if constexpr (R > 1) attend_some<R - 1>(shape, kv, tiles, queries, count, prefetch);
}

// The block from its 16 positions `tile` on.
inline KvBlock behind(const AttentionShape& shape, KvBlock kv, int tile) {
  return {kv.keys + tile * 16 * shape.key_dim, kv.values + tile * 16 * shape.value_dim, kv.key_scales + 16 * tile,
          kv.value_scales + 16 * tile};
}

inline void attend(const AttentionShape& shape, KvBlock kv, int block, int kv_head, int first, int last, int start,
                   int window, Queries queries, Partials partials, Upcoming next) {
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(partials.blocks) * shape.partial_size();
  const int sharing = shape.sharing();
  const auto query = [&](int index) {  // token by token
    const int t = first + index / sharing;
    const int end = start + t + 1 - block * kAttentionBlock;
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * shape.heads + kv_head * sharing + index % sharing;
    return Query{queries.quants + at * shape.key_dim,
                 queries.scales[at],
                 queries.sums[at],
                 end > window ? end - window : 0,
                 end < kAttentionBlock ? end : kAttentionBlock,
                 partials.data + at * stride + block * shape.partial_size()};
  };
  while (first < last && query(0).visible <= 0) ++first;
  while (first < last && query((last - first) * sharing - 1).hidden >= kAttentionBlock) --last;
  const int count = (last - first) * sharing;
  const int chunks = (count + kQueries - 1) / kQueries;
  Prefetch prefetch(next, (chunks > 0 ? chunks : 1) * kAttentionBlock / 16);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int begin = chunk * count / chunks;
    const int size = (chunk + 1) * count / chunks - begin;
    Query some[kQueries];
    for (int i = 0; i < size; ++i) some[i] = query(begin + i);
    const int tile = some[0].hidden / 16;
    const int tiles = (some[size - 1].visible + 15) / 16 - tile;
    for (int i = 0; i < size; ++i) {
      some[i].hidden -= 16 * tile;
      some[i].visible -= 16 * tile;
    }
    attend_some<kQueries>(shape, behind(shape, kv, tile), tiles, some, size, prefetch);
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
