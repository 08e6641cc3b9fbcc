#include "draft.h"

#include <algorithm>
#include <cmath>
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

std::optional<std::vector<std::pair<int, float>>> draft(Model& model, std::vector<std::int32_t> tokens, KvCache& cache,
                                                        const DraftRule& rule, const std::atomic<bool>* cancel) {
  if (rule.vocabulary > model.vocabulary()) throw std::invalid_argument("more ends than the vocabulary has tokens");
  if (rule.chances.empty()) throw std::invalid_argument("no chances of acceptance");
  const int length = cache.length();
  const int classes = static_cast<int>(rule.chances.size());
  std::vector<float> logits(model.logits_stride());
  std::vector<std::pair<int, float>> drafted;
  double chance = 1.0;
  for (const double bar : rule.bars) {
    if (!(chance > bar)) break;
    if (!model.forward(tokens, cache, 1, logits.data(), cancel, nullptr, rule.vocabulary)) {
      cache.trim(length);
      return std::nullopt;
    }
    const auto [token, logprob] = argmax_logprob(logits.data(), rule.vocabulary);
    if (rule.ends[token]) break;
    drafted.emplace_back(token, logprob);
    chance *= rule.chances[std::min(static_cast<int>(classes * std::exp(static_cast<double>(logprob))), classes - 1)];
    tokens.assign(1, token);
  }
  return drafted;
}

}  // namespace flash
