#include "choose.h"

#include <stdexcept>

#include "cpu.h"

namespace flash {

std::pair<int, float> argmax_logprob(const float* logits, std::size_t n) {
  if (n == 0) throw std::invalid_argument("no token to choose from");
  int best = 0;
  float total = 0;
  kernels_for("").log_sum_exp(logits, static_cast<int>(n), &best, &total);
  return {best, logits[best] - total};
}

std::optional<std::vector<std::pair<int, float>>> choose(Model& model, const std::vector<std::int32_t>& tokens,
                                                         KvCache& cache, int choices, int vocabulary,
                                                         const std::atomic<bool>* cancel) {
  if (vocabulary > model.vocabulary()) throw std::invalid_argument("more ids than the vocabulary has tokens");
  if (choices < 1 || choices > static_cast<int>(tokens.size())) throw std::invalid_argument("choices without a token");
  const std::size_t stride = model.logits_stride();
  std::vector<float> logits(choices * stride);
  if (!model.forward(tokens, cache, choices, logits.data(), cancel, nullptr, vocabulary)) return std::nullopt;
  std::vector<std::pair<int, float>> chosen;
  for (int row = 0; row < choices; ++row) chosen.push_back(argmax_logprob(logits.data() + row * stride, vocabulary));
  return chosen;
}

}  // namespace flash
