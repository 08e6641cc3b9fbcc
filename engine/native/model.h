// A llama-family transformer on weights of 4, 8 or 16 bits, mixed by matrix.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "aligned.h"
#include "cache.h"
#include "kernels.h"
#include "laps.h"
#include "matrix.h"
#include "pool.h"
#include "workspace.h"

namespace flash {

struct Layer {
  std::vector<float> attention_norm;  // [hidden]
  std::shared_ptr<const Matrix> qkv;  // rows of q, k and v, one after the other
  std::vector<float> qkv_bias;        // zeros where the model has none
  std::vector<float> query_norm;      // [head_dim], empty where the model has none
  std::vector<float> key_norm;        // [head_dim], empty where the model has none
  std::shared_ptr<const Matrix> output;
  std::vector<float> output_bias;         // [hidden], zeros where the model has none
  std::vector<float> feed_forward_norm;   // [hidden]
  std::shared_ptr<const Matrix> gate_up;  // 16 rows of gate, 16 of up, in turn
  std::shared_ptr<const Matrix> down;
};

struct Weights {
  std::shared_ptr<const Matrix> embedding;
  float embedding_scale;
  std::vector<Layer> layers;
  std::vector<float> norm;             // [hidden]
  std::shared_ptr<const Matrix> head;  // the embedding itself where they are tied
  std::vector<float> cosines;          // [capacity][head_dim / 2]
  std::vector<float> sines;
};

class Model {
 public:
  // Throws std::invalid_argument naming the weight whose shape does not fit.
  Model(AttentionShape shape, float epsilon, Weights weights, const Kernels& kernels, int threads);

  int capacity() const { return static_cast<int>(weights_.cosines.size()) / (shape_.head_dim / 2); }
  int vocabulary() const { return weights_.head->rows(); }
  int threads() const { return pool_.size(); }
  const char* isa() const { return kernels_.name; }

  // Bytes of weights that one token reads for each operation: all but the embedding, of which it takes a row.
  std::array<std::size_t, kOperationNames.size()> weight_bytes() const;

  KvCache new_cache() const { return {static_cast<int>(weights_.layers.size()), shape_.kv_heads, shape_.head_dim}; }

  // Floats from one row of logits to the next.
  int logits_stride() const { return weights_.head->blocks() * kLanes; }

  // Appends `tokens` to the cache and writes the logits of the last `wanted` of them, [wanted][logits_stride()].
  // Throws std::invalid_argument for an id outside the vocabulary and std::length_error beyond the capacity; the
  // cache is then as before. Returns false, the cache as before, if `cancel` (may be null) became true in between:
  // soon after, for what every thread does at a time is short. `laps` (may be null) gets the time of each operation.
  // Of the logits only the first `ids` of the vocabulary are computed, rounded up to whole blocks.
  bool forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits,
               const std::atomic<bool>* cancel, Laps* laps, int ids);
  bool forward(const std::vector<std::int32_t>& tokens, KvCache& cache, int wanted, float* logits,
               const std::atomic<bool>* cancel, Laps* laps) {
    return forward(tokens, cache, wanted, logits, cancel, laps, vocabulary());
  }

 private:
  // Some consecutive tokens of a pass, computed together.
  struct Slice {
    const std::int32_t* tokens;
    int count;
    int start;   // position of the first
    int wanted;  // logits of the last so many
    int ids;     // for the first so many ids
    KvCache& cache;
    Laps* laps;
    void lap(Operation operation) const {
      if (laps) laps->lap(operation);
    }
    int blocks() const { return (start + count + kAttentionBlock - 1) / kAttentionBlock; }
  };
  struct Rows {
    int first;
    int last;
    int count() const { return last - first; }
  };

  void run(Crew& crew, const Slice& slice, float* logits);
  void run_layer(Crew& crew, const Slice& slice, int index, Rows rows);

  // One stage each.
  void embed(Crew& crew, const Slice& slice);
  void normalize(Crew& crew, Rows rows, const std::vector<float>& weight, const Matrix& reader);
  void project(Crew& crew, Rows rows, const Matrix& matrix, int blocks, const float* bias, ActivationBuffer& in,
               float* out);
  void add_project(Crew& crew, Rows rows, const Matrix& matrix, const float* bias, ActivationBuffer& in);
  void project_heads(Crew& crew, const Slice& slice, int layer);
  void attend(Crew& crew, const Slice& slice, int layer, Rows rows);
  void combine(Crew& crew, const Slice& slice, Rows rows, const Matrix& reader);
  void gate(Crew& crew, Rows rows, const Matrix& gate_up, const Matrix& reader);

  int grain(int units) const;
  void store_head(const Slice& slice, int layer, int token, int head, const float* values);
  void combine_span(const Slice& slice, int token, int from, int span, const Matrix& reader);

  AttentionShape shape_;
  float epsilon_;
  Weights weights_;
  const Kernels& kernels_;
  Pool pool_;
  int hidden_;
  int feed_forward_;
  Workspace work_;
  Aligned<float> no_bias_;  // zeros
};

}  // namespace flash
