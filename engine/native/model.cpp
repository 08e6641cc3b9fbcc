#include "model.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <string>

namespace flash {
namespace {

constexpr int kAttentionTokens = 16;  // queries of one unit of attention work
constexpr int kTurns = 5;

void require(bool fits, const std::string& what) {
  if (!fits) throw std::invalid_argument(what);
}

void require_shape(const Matrix& matrix, int rows, int k, const std::string& name) {
  require(matrix.rows() == rows && matrix.k() == k,
          name + " is [" + std::to_string(matrix.rows()) + ", " + std::to_string(matrix.k()) + "], not [" +
              std::to_string(rows) + ", " + std::to_string(k) + "]");
}

void require_length(const std::vector<float>& values, int length, const std::string& name) {
  require(static_cast<int>(values.size()) == length,
          name + " has " + std::to_string(values.size()) + " values, not " + std::to_string(length));
}

void check(const AttentionShape& shape, const Weights& weights, int feed_forward) {
  const int hidden = weights.embedding->k();
  const int width = shape.heads * shape.head_dim;
  require(shape.head_dim % 32 == 0 && shape.head_dim <= kMostHeadDim,
          "the head size must be a multiple of 32 up to 256, not " + std::to_string(shape.head_dim));
  require(shape.heads % shape.kv_heads == 0, "the heads must be a multiple of the KV heads");
  require_length(weights.norm, hidden, "the last norm");
  require_shape(*weights.head, weights.embedding->rows(), hidden, "the output head");
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    const Layer& layer = weights.layers[i];
    const std::string at = "layer " + std::to_string(i) + ": ";
    require_length(layer.attention_norm, hidden, at + "the attention norm");
    require_length(layer.feed_forward_norm, hidden, at + "the feed-forward norm");
    require_length(layer.qkv_bias, width + 2 * shape.kv_heads * shape.head_dim, at + "the bias of q, k, v");
    for (const std::vector<float>* norm : {&layer.query_norm, &layer.key_norm})
      require(norm->empty() || static_cast<int>(norm->size()) == shape.head_dim,
              at + "the norms of queries and keys have not the head's size");
    require(width % std::lcm(shape.head_dim, layer.output->group()) == 0,
            at + "heads of " + std::to_string(shape.head_dim) + " do not fill the groups of the attention output");
    require_length(layer.output_bias, hidden, at + "the bias of the attention output");
    require_shape(*layer.qkv, width + 2 * shape.kv_heads * shape.head_dim, hidden, at + "q, k, v");
    require_shape(*layer.output, hidden, width, at + "the attention output");
    require_shape(*layer.gate_up, 2 * feed_forward, hidden, at + "gate and up");
    require_shape(*layer.down, hidden, feed_forward, at + "down");
  }
}

// Floats of the calling thread's own, as they were left.
float* scratch(std::size_t size) {
  thread_local Aligned<float> floats;
  if (floats.size() < size) floats.resize(size);
  return floats.data();
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
      work_(shape_, hidden_, feed_forward_),
      no_bias_(std::max({hidden_, 2 * feed_forward_, logits_stride()})) {
  check(shape_, weights_, feed_forward_);
}

std::array<std::size_t, kOperationNames.size()> Model::weight_bytes() const {
  std::array<std::size_t, kOperationNames.size()> bytes{};
  const auto add = [&](Operation operation, const Matrix& matrix) {
    bytes[static_cast<std::size_t>(operation)] += matrix.bytes();
  };
  for (const Layer& layer : weights_.layers) {
    add(Operation::kQkv, *layer.qkv);
    add(Operation::kOutput, *layer.output);
    add(Operation::kGateUp, *layer.gate_up);
    add(Operation::kDown, *layer.down);
  }
  add(Operation::kHead, *weights_.head);
  return bytes;
}

bool Model::forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits,
                    const std::atomic<bool>* cancel, Laps* laps, int ids) {
  for (const std::int32_t token : tokens)
    require(token >= 0 && token < vocabulary(),
            "token " + std::to_string(token) + " is outside the vocabulary of " + std::to_string(vocabulary()));
  const int count = static_cast<int>(tokens.size());
  require(wanted >= 0 && wanted <= count,
          "logits of " + std::to_string(wanted) + " tokens asked for, of " + std::to_string(count));
  const int length = cache.length() + count;
  if (length > capacity())
    throw std::length_error(std::to_string(length) + " tokens do not fit a cache of " + std::to_string(capacity()));

  cache.prepare(length);
  const std::size_t blocks = (length + kAttentionBlock - 1) / kAttentionBlock;
  const std::size_t partials = std::min(count, kSliceTokens) * blocks * shape_.heads * shape_.partial_size();
  if (work_.partials.size() < partials) work_.partials.resize(partials);

  if (laps) laps->begin();
  const bool complete = pool_.run(cancel, [&](Crew crew) {
    float* out = logits;
    for (int done = 0; done < count; done += kSliceTokens) {
      const int size = std::min(kSliceTokens, count - done);
      const int first_wanted = std::clamp(count - wanted - done, 0, size);
      run(crew, {tokens.data() + done, size, cache.length() + done, size - first_wanted, ids, cache, laps}, out);
      out += static_cast<std::ptrdiff_t>(size - first_wanted) * logits_stride();
    }
  });
  if (complete) cache.set_length(length);
  return complete;
}

void Model::run(Crew& crew, const Slice& slice, float* logits) {
  embed(crew, slice);
  slice.lap(Operation::kEmbed);
  const Rows all{0, slice.count};
  const Rows wanted{slice.count - slice.wanted, slice.count};
  const int layers = static_cast<int>(weights_.layers.size());
  for (int i = 0; i < layers - 1; ++i) run_layer(crew, slice, i, all);
  run_layer(crew, slice, layers - 1, wanted);
  if (slice.wanted == 0) return;

  normalize(crew, wanted, weights_.norm, *weights_.head);
  slice.lap(Operation::kNorm);
  float* out = logits - static_cast<std::ptrdiff_t>(wanted.first) * logits_stride();
  project(crew, wanted, *weights_.head, (slice.ids + kLanes - 1) / kLanes, no_bias_.data(), work_.normalized, out);
  slice.lap(Operation::kHead);
}

// Keys and values of all tokens, the residual stream of `rows` only.
void Model::run_layer(Crew& crew, const Slice& slice, int index, Rows rows) {
  const Layer& layer = weights_.layers[index];
  const Rows all{0, slice.count};
  normalize(crew, all, layer.attention_norm, *layer.qkv);
  slice.lap(Operation::kNorm);
  project_heads(crew, slice, index);
  slice.lap(Operation::kQkv);
  if (rows.count() == 0) return;

  attend(crew, slice, index, rows);
  combine(crew, slice, rows, *layer.output);
  slice.lap(Operation::kAttention);
  add_project(crew, rows, *layer.output, layer.output_bias.data(), work_.attention_out);
  slice.lap(Operation::kOutput);
  normalize(crew, rows, layer.feed_forward_norm, *layer.gate_up);
  slice.lap(Operation::kNorm);
  gate(crew, rows, *layer.gate_up, *layer.down);
  slice.lap(Operation::kGateUp);
  add_project(crew, rows, *layer.down, no_bias_.data(), work_.gated);
  slice.lap(Operation::kDown);
}

// Units of work for one turn of a thread: several turns each, so that none waits long for another at the end.
int Model::grain(int units) const { return std::max(1, units / (kTurns * pool_.size())); }

void Model::embed(Crew& crew, const Slice& slice) {
  crew.share(slice.count, grain(slice.count), [&](int first, int last) {
    for (std::ptrdiff_t t = first; t < last; ++t)
      kernels_.dequantize_row(weights_.embedding->packed(), slice.tokens[t], weights_.embedding_scale,
                              work_.residual.data() + t * hidden_);
  });
}

// Into the activations that `reader` takes.
void Model::normalize(Crew& crew, Rows rows, const std::vector<float>& weight, const Matrix& reader) {
  const Activations out = work_.normalized.view(reader.group());
  crew.share(rows.count(), grain(rows.count()), [&](int first, int last) {
    for (int t = rows.first + first; t < rows.first + last; ++t)
      kernels_.rms_norm(work_.residual.data() + static_cast<std::ptrdiff_t>(t) * hidden_, weight.data(), epsilon_,
                        out.from(t));
  });
}

// out = bias + matrix * in of the first `blocks` of rows, [tokens][blocks of the matrix * 16].
void Model::project(Crew& crew, Rows rows, const Matrix& matrix, int blocks, const float* bias, ActivationBuffer& in,
                    float* out) {
  const std::ptrdiff_t stride = matrix.blocks() * kLanes;
  const Activations x = in.view(matrix.group());
  crew.share(blocks, grain(blocks), [&](int first, int last) {
    kernels_.matmul(matrix.packed(), first, last, bias, x.from(rows.first), rows.count(), out + rows.first * stride,
                    stride);
  });
}

// residual += bias + matrix * in.
void Model::add_project(Crew& crew, Rows rows, const Matrix& matrix, const float* bias, ActivationBuffer& in) {
  float* out = work_.residual.data() + static_cast<std::ptrdiff_t>(rows.first) * hidden_;
  const Activations x = in.view(matrix.group());
  crew.share(matrix.blocks(), grain(matrix.blocks()), [&](int first, int last) {
    kernels_.matmul_onto(matrix.packed(), first, last, bias, x.from(rows.first), rows.count(), out, hidden_);
  });
}

// A unit is one head of q, k or v for all tokens.
void Model::project_heads(Crew& crew, const Slice& slice, int layer) {
  const int dim = shape_.head_dim;
  const Layer& weights = weights_.layers[layer];
  const Activations in = work_.normalized.view(weights.qkv->group());
  crew.share(shape_.heads + 2 * shape_.kv_heads, 1, [&](int head, int) {
    float* values = scratch(static_cast<std::size_t>(slice.count) * dim);
    kernels_.matmul(weights.qkv->packed(), head * dim / kLanes, (head + 1) * dim / kLanes, weights.qkv_bias.data(), in,
                    slice.count, values - head * dim, dim);
    for (int t = 0; t < slice.count; ++t) store_head(slice, layer, t, head, values + t * dim);
  });
}

// `head` counts the heads of q, k and v.
void Model::store_head(const Slice& slice, int layer, int token, int head, const float* values) {
  const int dim = shape_.head_dim;
  const int heads = shape_.heads;
  const std::ptrdiff_t position = slice.start + token;
  const int slot = static_cast<int>(position % kAttentionBlock);
  const int block = static_cast<int>(position / kAttentionBlock);
  const float* cosine = weights_.cosines.data() + position * (dim / 2);
  const float* sine = weights_.sines.data() + position * (dim / 2);
  const Layer& weights = weights_.layers[layer];
  const std::vector<float>& norm = head < heads ? weights.query_norm : weights.key_norm;
  float normed[kMostHeadDim];
  if (head < heads + shape_.kv_heads && !norm.empty()) {
    kernels_.norm_head(values, norm.data(), epsilon_, dim, normed);
    values = normed;
  }
  if (head < heads) {
    const Queries queries = work_.queries();
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(token) * heads + head;
    kernels_.store_query(values, cosine, sine, dim, queries.quants + at * dim, queries.scales + at, queries.sums + at);
  } else if (head < heads + shape_.kv_heads) {
    kernels_.store_key(values, cosine, sine, dim, slice.cache.block(layer, head - heads, block), slot);
  } else {
    kernels_.store_value(values, dim, slice.cache.block(layer, head - heads - shape_.kv_heads, block), slot);
  }
}

void Model::attend(Crew& crew, const Slice& slice, int layer, Rows rows) {
  const int runs = (rows.count() + kAttentionTokens - 1) / kAttentionTokens;
  const int units = shape_.kv_heads * slice.blocks() * runs;
  const Partials partials{work_.partials.data(), slice.blocks()};
  crew.share(units, 1, [&](int unit, int) {
    const int block = unit / runs % slice.blocks();
    const int head = unit / runs / slice.blocks();
    const int first = rows.first + unit % runs * kAttentionTokens;
    const int last = std::min(rows.last, first + kAttentionTokens);
    kernels_.attend(shape_, slice.cache.block(layer, head, block), block, head, first, last, slice.start,
                    work_.queries(), partials);
  });
}

void Model::combine(Crew& crew, const Slice& slice, Rows rows, const Matrix& reader) {
  const int span = std::lcm(shape_.head_dim, reader.group());  // whole heads and whole groups
  const int spans = work_.attention_width / span;
  const int units = rows.count() * spans;
  crew.share(units, grain(units), [&](int first, int last) {
    for (int unit = first; unit < last; ++unit)
      combine_span(slice, rows.first + unit / spans, unit % spans * span, span, reader);
  });
}

// The values from .. from+span-1 of a token's attention output.
void Model::combine_span(const Slice& slice, int token, int from, int span, const Matrix& reader) {
  const int dim = shape_.head_dim;
  const int used = (slice.start + token) / kAttentionBlock + 1;
  float* values = work_.attended.data() + static_cast<std::ptrdiff_t>(token) * work_.attention_width + from;
  for (int i = 0; i < span; i += dim) {
    const std::ptrdiff_t head = static_cast<std::ptrdiff_t>(token) * shape_.heads + (from + i) / dim;
    kernels_.combine(shape_, work_.partials.data() + head * slice.blocks() * shape_.partial_size(), used, values + i);
  }
  const Activations row = work_.attention_out.view(reader.group()).from(token);
  const int group = from / row.group;
  kernels_.quantize(values, {row.quants + from, row.scales + group, row.sums + group, span, row.group});
}

void Model::gate(Crew& crew, Rows rows, const Matrix& gate_up, const Matrix& reader) {
  const Activations in = work_.normalized.view(gate_up.group());
  const Activations out = work_.gated.view(reader.group());
  const int groups = feed_forward_ / out.group;
  crew.share(groups, grain(groups), [&](int first_group, int last_group) {
    const int first = first_group * out.group;
    const int count = last_group * out.group - first;
    float* values = scratch(static_cast<std::size_t>(rows.count()) * 2 * count) - 2 * first;
    kernels_.matmul(gate_up.packed(), 2 * first / kLanes, 2 * (first + count) / kLanes, no_bias_.data(),
                    in.from(rows.first), rows.count(), values, 2 * count);
    for (int t = 0; t < rows.count(); ++t)
      kernels_.swiglu(values + static_cast<std::ptrdiff_t>(t) * 2 * count, first, count, out.from(rows.first + t));
  });
}

}  // namespace flash
