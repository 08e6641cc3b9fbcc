// Greedy tokens of a draft model, one pass after the other without a way through Python.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "model.h"

namespace flash {

// Index of the first largest of n logits and its log-probability among them. Throws std::invalid_argument for none.
std::pair<int, float> argmax_logprob(const float* logits, std::size_t n);

// Where a draft ends: DraftRule in drafting.py.
struct DraftRule {
  std::vector<double> bars;
  std::vector<double> chances;
  const bool* ends;  // [vocabulary]
  int vocabulary;
};

// The drafted ids with their log-probabilities; none, the cache as before, if `cancel` (may be null) became true.
// Throws as Model::forward does, the cache then as before.
std::optional<std::vector<std::pair<int, float>>> draft(Model& model, std::vector<std::int32_t> tokens, KvCache& cache,
                                                        const DraftRule& rule, const std::atomic<bool>* cancel);

}  // namespace flash
