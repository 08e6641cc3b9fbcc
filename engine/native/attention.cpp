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

// Whoever computes the last part of some whole heads, and whole groups of the output's input, combines them: most of
// their partials are in its own cache.
void Attention::attend(Pass& pass, int layer, Rows rows) const {
  const Slice& slice = pass.slice;
  const int runs = (rows.count() + kAttentionTokens - 1) / kAttentionTokens;
  const int begin = first_block(slice.start + rows.first);
  const int blocks = slice.blocks() - begin;
  const int width = pass.shape.sharing() * pass.shape.value_dim;  // of a KV head's heads
  const int span = std::lcm(width, output_.group());
  const int parts = span / width * blocks;
  const Partials partials{pass.work.partials.data(), slice.blocks()};
  pass.crew.share(pass.shape.kv_heads * blocks * runs, 1, [&](int unit, int) {
    const int run = unit % runs;
    const int block = begin + unit / runs % blocks;
    const int head = unit / runs / blocks;
    const int first = rows.first + run * kAttentionTokens;
    const int last = std::min(rows.last, first + kAttentionTokens);
    pass.kernels.attend(pass.shape, slice.cache.block(layer, head, block), block, head, first, last, slice.start,
                        window_, pass.work.queries(), partials);
    const int from = head * width / span * span;
    std::atomic<int>& done = pass.work.attended_parts[from / span * runs + run];
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
