#include "model.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace flash {
namespace {

constexpr int kAttentionTokens = 16;  // queries of one unit of attention work

void require(bool fits, const std::string& what) {
  if (!fits) throw std::invalid_argument(what);
}

void require_shape(const Matrix& matrix, int rows, int k, int group, const std::string& name) {
  require(matrix.rows() == rows && matrix.k() == k && matrix.group() == group,
          name + " is [" + std::to_string(matrix.rows()) + ", " + std::to_string(matrix.k()) + "] in groups of " +
              std::to_string(matrix.group()) + ", not [" + std::to_string(rows) + ", " + std::to_string(k) +
              "] in groups of " + std::to_string(group));
}

void require_length(const std::vector<float>& values, int length, const std::string& name) {
  require(static_cast<int>(values.size()) == length,
          name + " has " + std::to_string(values.size()) + " values, not " + std::to_string(length));
}

void check(const AttentionShape& shape, const Weights& weights, int feed_forward) {
  const int hidden = weights.embedding->k();
  const int group = weights.embedding->group();
  const int width = shape.heads * shape.head_dim;
  require(shape.head_dim % 32 == 0 && shape.head_dim <= 256, "the head size must be a multiple of 32 up to 256, not " + std::to_string(shape.head_dim));
  require(shape.heads % shape.kv_heads == 0, "the heads must be a multiple of the KV heads");
  require_length(weights.norm, hidden, "the last norm");
  require_shape(*weights.head, weights.embedding->rows(), hidden, group, "the output head");
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const Layer& layer = weights.layers[i];
    const std::string at = "layer " + std::to_string(i) + ": ";
    require_length(layer.attention_norm, hidden, at + "the attention norm");
    require_length(layer.feed_forward_norm, hidden, at + "the feed-forward norm");
    require_length(layer.qkv_bias, width + 2 * shape.kv_heads * shape.head_dim, at + "the bias of q, k, v");
    require_length(layer.output_bias, hidden, at + "the bias of the attention output");
    require_shape(*layer.qkv, width + 2 * shape.kv_heads * shape.head_dim, hidden, group, at + "q, k, v");
    require_shape(*layer.output, hidden, width, group, at + "the attention output");
    require_shape(*layer.gate_up, 2 * feed_forward, hidden, group, at + "gate and up");
    require_shape(*layer.down, hidden, feed_forward, group, at + "down");
  }
}

}  // namespace

Model::Model(AttentionShape shape, float epsilon, Weights weights, const Kernels& kernels, int threads)
    : shape_(shape),
      epsilon_(epsilon),
      weights_(std::move(weights)),
      kernels_(kernels),
      pool_(threads),
      hidden_(weights_.embedding->k()),
      feed_forward_(weights_.layers.empty() ? 0 : weights_.layers.front().down->k()),
      work_(shape_, hidden_, feed_forward_, weights_.embedding->group()),
      no_bias_(std::max(hidden_, logits_stride())) {
  check(shape_, weights_, feed_forward_);
}

void Model::forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits) {
  for (const std::int32_t token : tokens)
    require(token >= 0 && token < vocabulary(), "token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(vocabulary()));
  const int count = static_cast<int>(tokens.size());
  require(wanted >= 0 && wanted <= count, "logits of " + std::to_string(wanted) + " tokens asked for, of " + std::to_string(count));
  const int length = cache.length() + count;
  if (length > capacity())
    throw std::length_error(std::to_string(length) + " tokens do not fit a cache of " + std::to_string(capacity()));

  cache.prepare(length);
  const std::size_t blocks = (length + kAttentionBlock - 1) / kAttentionBlock;
  const std::size_t partials = std::min(count, kSliceTokens) * blocks * shape_.heads * shape_.partial_size();
  if (work_.partials.size() < partials) work_.partials.resize(partials);

  pool_.run([&](int thread) {
    for (int done = 0; done < count; done += kSliceTokens) {
      const int size = std::min(kSliceTokens, count - done);
      const int first_wanted = std::clamp(count - wanted - done, 0, size);
      run(thread, {tokens.data() + done, size, cache.length() + done, size - first_wanted, cache}, logits);
      logits += static_cast<std::ptrdiff_t>(size - first_wanted) * logits_stride();
    }
  });
  cache.set_length(length);
}

void Model::run(int thread, const Slice& slice, float* logits) {
  embed(thread, slice);
  pool_.barrier();
  const Rows all{0, slice.count};
  const Rows wanted{slice.count - slice.wanted, slice.count};
  const int layers = static_cast<int>(weights_.layers.size());
  for (int i = 0; i < layers - 1; ++i) run_layer(thread, slice, i, all);
  run_layer(thread, slice, layers - 1, wanted);
  if (slice.wanted == 0) return;

  normalize(thread, wanted, weights_.norm);
  pool_.barrier();
  float* out = logits - static_cast<std::ptrdiff_t>(wanted.first) * logits_stride();
  project(thread, wanted, *weights_.head, no_bias_.data(), work_.normalized.view(), out);
  pool_.barrier();
}

// Keys and values of all tokens, the residual stream of `rows` only.
void Model::run_layer(int thread, const Slice& slice, int index, Rows rows) {
  const Layer& layer = weights_.layers[index];
  const Rows all{0, slice.count};
  normalize(thread, all, layer.attention_norm);
  pool_.barrier();
  project(thread, all, *layer.qkv, layer.qkv_bias.data(), work_.normalized.view(), work_.qkv.data());
  pool_.barrier();
  store_heads(thread, slice, index);
  pool_.barrier();
  if (rows.count() == 0) return;

  attend(thread, slice, index, rows);
  pool_.barrier();
  combine(thread, slice, rows);
  pool_.barrier();
  add_project(thread, rows, *layer.output, layer.output_bias.data(), work_.attention_out.view());
  pool_.barrier();
  normalize(thread, rows, layer.feed_forward_norm);
  pool_.barrier();
  gate(thread, rows, *layer.gate_up);
  pool_.barrier();
  add_project(thread, rows, *layer.down, no_bias_.data(), work_.gated.view());
  pool_.barrier();
}

void Model::embed(int thread, const Slice& slice) {
  const Share share(slice.count, thread, pool_.size());
  for (int t = share.first; t < share.last; ++t)
    kernels_.dequantize_row(weights_.embedding->packed(), slice.tokens[t], work_.residual.data() + static_cast<std::ptrdiff_t>(t) * hidden_);
}

void Model::normalize(int thread, Rows rows, const std::vector<float>& weight) {
  const Share share(rows.count(), thread, pool_.size());
  for (int t = rows.first + share.first; t < rows.first + share.last; ++t)
    kernels_.rms_norm(work_.residual.data() + static_cast<std::ptrdiff_t>(t) * hidden_, weight.data(), epsilon_, work_.normalized.view().from(t));
}

// out = bias + matrix * in, [tokens][blocks of the matrix * 16].
void Model::project(int thread, Rows rows, const Matrix& matrix, const float* bias, const Activations& in, float* out) {
  const Share share(matrix.blocks(), thread, pool_.size());
  const std::ptrdiff_t stride = matrix.blocks() * kLanes;
  for (int t = rows.first; t < rows.last; ++t)
    std::copy(bias + kLanes * share.first, bias + kLanes * share.last, out + t * stride + kLanes * share.first);
  kernels_.matmul(matrix.packed(), share.first, share.last, in.from(rows.first), rows.count(),
                  out + rows.first * stride, static_cast<int>(stride));
}

// residual += bias + matrix * in.
void Model::add_project(int thread, Rows rows, const Matrix& matrix, const float* bias, const Activations& in) {
  const Share share(matrix.blocks(), thread, pool_.size());
  float* out = work_.residual.data();
  for (std::ptrdiff_t t = rows.first; t < rows.last; ++t)
    for (int i = kLanes * share.first; i < kLanes * share.last; ++i) out[t * hidden_ + i] += bias[i];
  kernels_.matmul(matrix.packed(), share.first, share.last, in.from(rows.first), rows.count(),
                  out + static_cast<std::ptrdiff_t>(rows.first) * hidden_, hidden_);
}

void Model::store_heads(int thread, const Slice& slice, int layer) {
  const int dim = shape_.head_dim;
  const int heads = shape_.heads;
  const int all_heads = heads + 2 * shape_.kv_heads;
  const Queries queries = work_.queries();
  const Share share(slice.count * all_heads, thread, pool_.size());
  for (int unit = share.first; unit < share.last; ++unit) {
    const int t = unit / all_heads;
    const int head = unit % all_heads;
    const int position = slice.start + t;
    const int slot = position % kAttentionBlock;
    const int block = position / kAttentionBlock;
    const float* values = work_.qkv.data() + static_cast<std::ptrdiff_t>(t) * work_.qkv_width + head * dim;
    const float* cosine = weights_.cosines.data() + static_cast<std::ptrdiff_t>(position) * (dim / 2);
    const float* sine = weights_.sines.data() + static_cast<std::ptrdiff_t>(position) * (dim / 2);
    if (head < heads) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * heads + head;
      kernels_.store_query(values, cosine, sine, dim, queries.quants + at * dim, queries.scales + at, queries.sums + at);
    } else if (head < heads + shape_.kv_heads) {
      kernels_.store_key(values, cosine, sine, dim, slice.cache.block(layer, head - heads, block), slot);
    } else {
      kernels_.store_value(values, dim, slice.cache.block(layer, head - heads - shape_.kv_heads, block), slot);
    }
  }
}

void Model::attend(int thread, const Slice& slice, int layer, Rows rows) {
  const int blocks = (slice.start + slice.count + kAttentionBlock - 1) / kAttentionBlock;
  const int runs = (rows.count() + kAttentionTokens - 1) / kAttentionTokens;
  const Partials partials{work_.partials.data(), blocks};
  const Share share(shape_.kv_heads * blocks * runs, thread, pool_.size());
  for (int unit = share.first; unit < share.last; ++unit) {
    const int run = unit % runs;
    const int block = unit / runs % blocks;
    const int head = unit / runs / blocks;
    const int first = rows.first + run * kAttentionTokens;
    const int last = std::min(rows.last, first + kAttentionTokens);
    kernels_.attend(shape_, slice.cache.block(layer, head, block), block, head, first, last, slice.start,
                    work_.queries(), partials);
  }
}

void Model::combine(int thread, const Slice& slice, Rows rows) {
  const int dim = shape_.head_dim;
  const int blocks = (slice.start + slice.count + kAttentionBlock - 1) / kAttentionBlock;
  const Activations out = work_.attention_out.view();
  const int span = std::lcm(dim, out.group);  // whole heads and whole groups
  const int spans = work_.attention_width / span;
  const Share share(rows.count() * spans, thread, pool_.size());
  for (int unit = share.first; unit < share.last; ++unit) {
    const int t = rows.first + unit / spans;
    const int from = unit % spans * span;
    const int used = (slice.start + t) / kAttentionBlock + 1;
    float* values = work_.attended.data() + static_cast<std::ptrdiff_t>(t) * work_.attention_width + from;
    for (int head = from / dim; head < (from + span) / dim; ++head) {
      const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(t) * shape_.heads + head;
      kernels_.combine(shape_, work_.partials.data() + at * blocks * shape_.partial_size(), used, values + head * dim - from);
    }
    const Activations row = out.from(t);
    kernels_.quantize(values, {row.quants + from, row.scales + from / out.group, row.sums + from / out.group, span, out.group});
  }
}

void Model::gate(int thread, Rows rows, const Matrix& gate_up) {
  const Activations out = work_.gated.view();
  const int width = 2 * feed_forward_;
  const Share groups(feed_forward_ / out.group, thread, pool_.size());
  const int first = groups.first * out.group;
  const int last = groups.last * out.group;
  for (int t = rows.first; t < rows.last; ++t) {
    float* row = work_.gate_up.data() + static_cast<std::ptrdiff_t>(t) * width;
    std::fill(row + 2 * first, row + 2 * last, 0.0f);
  }
  kernels_.matmul(gate_up.packed(), 2 * first / kLanes, 2 * last / kLanes, work_.normalized.view().from(rows.first),
                  rows.count(), work_.gate_up.data() + static_cast<std::ptrdiff_t>(rows.first) * width, width);
  for (int t = rows.first; t < rows.last; ++t)
    kernels_.swiglu(work_.gate_up.data() + static_cast<std::ptrdiff_t>(t) * width, first, last - first, out.from(t));
}

}  // namespace flash
