// The most likely next tokens, chosen without a way through Python.
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

// Appends `tokens` to the cache; what is most likely, of the first `vocabulary` ids, after each of the last `choices` of
// them. None, the cache as before, if `cancel` (may be null) became true. Throws as Model::forward does, the cache then
// as before.
std::optional<std::vector<std::pair<int, float>>> choose(Model& model, const std::vector<std::int32_t>& tokens,
                                                         KvCache& cache, int choices, int vocabulary,
                                                         const std::atomic<bool>* cancel);

}  // namespace flash
