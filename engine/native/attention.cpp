#include "attention.h"

#include <numeric>

namespace flash {
namespace {

constexpr int kTokens = 16;  // queries of one unit of attention work

}  // namespace

void Attention::check(const AttentionShape& shape, int hidden) const {
  const int width = shape.heads * shape.value_dim;
  require_shape(output_, hidden, width, "the attention output");
  if (width % std::lcm(shape.value_dim, output_.group()) != 0)
    throw std::invalid_argument("heads of " + std::to_string(shape.value_dim) +
                                " do not fill the groups of the attention output");
}

void Attention::run(Pass& pass, int layer, Rows rows) const {
  attend(pass, layer, rows);
  combine(pass, rows);
  pass.lap(Operation::kAttention);
  pass.add_project(rows, output_, pass.work.attention_out);
  pass.lap(Operation::kOutput);
}

void Attention::attend(Pass& pass, int layer, Rows rows) const {
  const Slice& slice = pass.slice;
  const int runs = (rows.count() + kTokens - 1) / kTokens;
  const int begin = first_block(slice.start + rows.first);
  const int blocks = slice.blocks() - begin;
  const Partials partials{pass.work.partials.data(), slice.blocks()};
  pass.crew.share(pass.shape.kv_heads * blocks * runs, 1, [&](int unit, int) {
    const int block = begin + unit / runs % blocks;
    const int head = unit / runs / blocks;
    const int first = rows.first + unit % runs * kTokens;
    const int last = std::min(rows.last, first + kTokens);
    pass.kernels.attend(pass.shape, slice.cache.block(layer, head, block), block, head, first, last, slice.start,
                        window_, pass.work.queries(), partials);
  });
}

void Attention::combine(Pass& pass, Rows rows) const {
  const int span = std::lcm(pass.shape.value_dim, output_.group());  // whole heads and whole groups
  const int spans = output_.k() / span;
  const int units = rows.count() * spans;
  pass.crew.share(units, pass.grain(units), [&](int first, int last) {
    for (int unit = first; unit < last; ++unit)
      combine_span(pass, rows.first + unit / spans, unit % spans * span, span);
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
