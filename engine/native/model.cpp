#include "model.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace flash {
namespace {

void require(bool fits, const std::string& what) {
  if (!fits) throw std::invalid_argument(what);
}

void check(const AttentionShape& shape, const Weights& weights) {
  const int hidden = weights.embedding->k();
  for (const int dim : {shape.key_dim, shape.value_dim})
    require(dim % 32 == 0 && dim <= kMostHeadDim,
            "the head size must be a multiple of 32 up to 256, not " + std::to_string(dim));
  require(shape.heads % shape.kv_heads == 0, "the heads must be a multiple of the KV heads");
  require_size(weights.norm, hidden, "the last norm");
  require_shape(weights.head, weights.embedding->rows(), hidden, "the output head");
  for (std::size_t i = 0; i < weights.layers.size(); ++i) try {
      const Layer& layer = weights.layers[i];
      require_size(layer.attention_norm, hidden, "the attention norm");
      layer.heads->check(shape, hidden);
      layer.attention.check(shape, hidden);
      require_size(layer.feed_forward_norm, hidden, "the feed-forward norm");
      layer.feed_forward->check(hidden);
    } catch (const std::invalid_argument& error) {
      throw std::invalid_argument("layer " + std::to_string(i) + ": " + error.what());
    }
}

}  // namespace

Model::Model(AttentionShape shape, Weights weights, const Kernels& kernels, int threads)
    : shape_(shape),
      weights_(std::move(weights)),
      kernels_(kernels),
      pool_(threads),
      hidden_(weights_.embedding->k()),
      work_(shape_, hidden_, pool_.size()) {
  check(shape_, weights_);
  for (const Layer& layer : weights_.layers) {
    layer.heads->reserve(work_);
    layer.feed_forward->reserve(work_);
  }
}

WeightBytes Model::weight_bytes() const {
  WeightBytes bytes{};
  for (const Layer& layer : weights_.layers) {
    bytes[static_cast<std::size_t>(Operation::kQkv)] += layer.heads->bytes();
    bytes[static_cast<std::size_t>(Operation::kOutput)] += layer.attention.bytes();
    layer.feed_forward->add_bytes(bytes);
  }
  bytes[static_cast<std::size_t>(Operation::kHead)] += weights_.head.bytes();
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

  for (std::atomic<int>& parts : work_.attended_parts) parts.store(0, std::memory_order_relaxed);

  if (laps) laps->begin();
  const bool complete = pool_.run(cancel, [&](Crew crew) {
    float* out = logits;
    for (int done = 0; done < count; done += kSliceTokens) {
      const int size = std::min(kSliceTokens, count - done);
      const int first_wanted = std::clamp(count - wanted - done, 0, size);
      const Slice slice{tokens.data() + done, size, cache.length() + done, size - first_wanted, ids, cache, laps};
      Pass pass{crew, slice, kernels_, shape_, weights_.rope, work_};
      run(pass, out);
      out += static_cast<std::ptrdiff_t>(size - first_wanted) * logits_stride();
    }
  });
  if (complete) cache.set_length(length);
  return complete;
}

// Keys and values of all tokens; in the last layer, the residual stream of the wanted ones only.
void Model::run(Pass& pass, float* logits) const {
  pass.expect(weights_.layers.front().heads->entry(shape_));
  embed(pass);
  pass.lap(Operation::kEmbed);
  const Rows all{0, pass.slice.count};
  const Rows wanted{pass.slice.count - pass.slice.wanted, pass.slice.count};
  const int layers = static_cast<int>(weights_.layers.size());
  const Reading head{&weights_.head, std::max(1, (pass.slice.ids + kLanes - 1) / kLanes)};
  for (int i = 0; i < layers; ++i) {
    const Layer& layer = weights_.layers[i];
    const Rows rows = i == layers - 1 ? wanted : all;
    pass.normalize(all, layer.attention_norm, layer.heads->group(), true);
    pass.lap(Operation::kNorm);
    if (rows.count() > 0) layer.attention.expect(pass, i, rows);
    layer.heads->run(pass, i);
    pass.lap(Operation::kQkv);
    if (rows.count() == 0) return;

    pass.following = layer.feed_forward->entry();
    layer.attention.run(pass, i, rows);
    pass.normalize(rows, layer.feed_forward_norm, layer.feed_forward->group(), layer.feed_forward->reads_once());
    pass.lap(Operation::kNorm);
    pass.following = i < layers - 1 ? weights_.layers[i + 1].heads->entry(shape_) : head;
    layer.feed_forward->run(pass, rows);
  }
  pass.normalize(wanted, weights_.norm, weights_.head.group(), true);
  pass.lap(Operation::kNorm);
  float* out = logits - static_cast<std::ptrdiff_t>(wanted.first) * logits_stride();
  pass.project(wanted, weights_.head, head.units, out);
  pass.lap(Operation::kHead);
}

void Model::embed(Pass& pass) const {
  const PackedMatrix& embedding = weights_.embedding->packed();
  pass.crew.share(pass.slice.count, pass.grain(pass.slice.count), [&](int first, int last) {
    for (std::ptrdiff_t t = first; t < last; ++t)
      kernels_.dequantize_row(embedding, pass.slice.tokens[t], weights_.embedding_scale,
                              pass.work.residual.data() + t * hidden_);
  });
}

}  // namespace flash
