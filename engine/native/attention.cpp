#include "attention.h"

#include <atomic>
#include <numeric>

namespace flash {

void Attention::check(const AttentionShape& shape, int hidden) const {
  const int width = shape.heads * shape.value_dim;
  require_shape(output_, hidden, width, "the attention output");
  if (width % std::lcm(shape.value_dim, output_.group()) != 0)
    throw std::invalid_argument("heads of " + std::to_string(shape.value_dim) +
                                " do not fill the groups of the attention output");
}

void Attention::run(Pass& pass, int layer, Rows rows) const {
  pass.expect({&output_, output_.blocks()});
  attend(pass, layer, rows);
  pass.lap(Operation::kAttention);
  pass.add_project(rows, output_, pass.work.attention_out);
  pass.lap(Operation::kOutput);
}

Attention::Units Attention::units(const Pass& pass, Rows rows) const {
  const int runs = (rows.count() + kAttentionTokens - 1) / kAttentionTokens;
  const int begin = first_block(pass.slice.start + rows.first);
  const int blocks = pass.slice.blocks() - begin;
  return {begin, blocks, runs, pass.shape.kv_heads * blocks * runs};
}

// Keys and values of a unit, if most of them are there.
Upcoming Attention::reading(const Pass& pass, int layer, const Units& units, int unit) {
  const Slice& slice = pass.slice;
  const int block = units.block(unit);
  if (slice.start + slice.count - block * kAttentionBlock < kAttentionBlock / 2) return {nullptr, 0};
  return {slice.cache.block(layer, units.head(unit), block).keys,
          static_cast<std::ptrdiff_t>(slice.cache.part_bytes())};
}

void Attention::expect(Pass& pass, int layer, Rows rows) const {
  const Units all = units(pass, rows);
  const Upcoming first = reading(pass, layer, all, pass.crew.first_unit(all.count));
  pass.crew.fetch_ahead(first.data, first.bytes);
}

// Whoever computes the last part of some whole heads, and whole groups of the output's input, combines them: most of
// their partials are in its own cache.
void Attention::attend(Pass& pass, int layer, Rows rows) const {
  const Slice& slice = pass.slice;
  const Units all = units(pass, rows);
  const int width = pass.shape.sharing() * pass.shape.value_dim;  // of a KV head's heads
  const int span = std::lcm(width, output_.group());
  const int parts = span / width * all.blocks;
  const Partials partials{pass.work.partials.data(), slice.blocks()};
  pass.crew.share(all.count, 1, [&](int unit, int next) {
    const int run = unit % all.runs;
    const int block = all.block(unit);
    const int head = all.head(unit);
    const int first = rows.first + run * kAttentionTokens;
    const int last = std::min(rows.last, first + kAttentionTokens);
    const bool fetches = run == all.runs - 1 && next < pass.crew.end_unit(all.count);
    pass.kernels.attend(pass.shape, slice.cache.block(layer, head, block), block, head, first, last, slice.start,
                        window_, pass.work.queries(), partials,
                        fetches ? reading(pass, layer, all, next) : Upcoming{nullptr, 0});
    const int from = head * width / span * span;
    std::atomic<int>& done = pass.work.attended_parts[from / span * all.runs + run];
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 < parts) return;
    done.store(0, std::memory_order_relaxed);
    for (int t = first; t < last; ++t) combine_span(pass, t, from, span);
  });
}

// The values from .. from+span-1 of a token's attention output.
void Attention::combine_span(Pass& pass, int token, int from, int span) const {
  const AttentionShape& shape = pass.shape;
  const int position = pass.slice.start + token;
  const int begin = first_block(position);
  const int count = position / kAttentionBlock + 1 - begin;
  const int width = output_.k();
  float* values = pass.work.attended.data() + static_cast<std::ptrdiff_t>(token) * width + from;
  for (int i = 0; i < span; i += shape.value_dim) {
    const std::ptrdiff_t head = static_cast<std::ptrdiff_t>(token) * shape.heads + (from + i) / shape.value_dim;
    const float* partials = pass.work.partials.data() + (head * pass.slice.blocks() + begin) * shape.partial_size();
    pass.kernels.combine(shape, partials, count, values + i);
  }
  const Activations row = pass.work.attention_out.view(width, output_.group()).from(token);
  const int group = from / row.group;
  pass.kernels.quantize(values, {row.quants + from, row.scales + group, row.sums + group, span, row.group});
}

}  // namespace flash
