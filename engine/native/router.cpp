#include "router.h"

#include <algorithm>
#include <numeric>

namespace flash {
namespace {

int in_lanes(int experts) { return (experts + kLanes - 1) / kLanes * kLanes; }

}  // namespace

void Routes::reserve(int tokens, const Choice& choice) {
  const auto grow = [](auto& values, std::size_t size) {
    if (values.size() < size) values.resize(size);
  };
  grow(scores_, static_cast<std::size_t>(tokens) * in_lanes(choice.experts));
  grow(uses_, static_cast<std::size_t>(tokens) * choice.per_token);
  grow(begins_, choice.experts + 1);
  order_.reserve(choice.experts);
  chosen_.reserve(uses_.size());
  used_.reserve(choice.experts);
}

void Routes::choose(const Kernels& kernels, const Choice& choice, int first, int last) {
  chosen_.clear();
  for (int token = first; token < last; ++token) choose_for(kernels, choice, token);
  std::stable_sort(chosen_.begin(), chosen_.end(),
                   [](const Chosen& a, const Chosen& b) { return a.expert < b.expert; });
  used_.clear();
  int place = 0;
  for (int expert = 0; expert < choice.experts; ++expert) {
    begins_[expert] = place;
    for (; place < static_cast<int>(chosen_.size()) && chosen_[place].expert == expert; ++place)
      uses_[place] = chosen_[place].use;
    if (place > begins_[expert]) used_.push_back(expert);
  }
  begins_[choice.experts] = place;
}

void Routes::choose_for(const Kernels& kernels, const Choice& choice, int token) {
  float* shares = scores_.data() + static_cast<std::ptrdiff_t>(token) * in_lanes(choice.experts);
  kernels.softmax(shares, choice.experts);
  const auto likelier = [](const float* values) {
    return [values](int a, int b) { return values[a] != values[b] ? values[a] > values[b] : a < b; };
  };
  if (choice.groups_per_token < choice.groups) {
    const int size = choice.experts / choice.groups;
    std::vector<float> tops(choice.groups);
    for (int g = 0; g < choice.groups; ++g) tops[g] = *std::max_element(shares + g * size, shares + (g + 1) * size);
    order_.resize(choice.groups);
    std::iota(order_.begin(), order_.end(), 0);
    std::sort(order_.begin(), order_.end(), likelier(tops.data()));
    for (int i = choice.groups_per_token; i < choice.groups; ++i)
      std::fill_n(shares + order_[i] * size, size, 0.0f);
  }
  order_.resize(choice.experts);
  std::iota(order_.begin(), order_.end(), 0);
  std::partial_sort(order_.begin(), order_.begin() + choice.per_token, order_.end(), likelier(shares));
  float total = 0;
  for (int i = 0; i < choice.per_token; ++i) total += shares[order_[i]];
  for (int i = 0; i < choice.per_token; ++i) {
    const float share = choice.scale * shares[order_[i]];
    chosen_.push_back({order_[i], {token, choice.normalize ? share / total : share}});
  }
}

}  // namespace flash
