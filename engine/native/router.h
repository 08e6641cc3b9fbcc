// Which experts the tokens of a slice use, and how much of each.
#pragma once

#include <vector>

#include "aligned.h"
#include "kernels.h"

namespace flash {

// How a token's experts follow from the softmax of its scores.
struct Choice {
  int experts;
  int per_token;
  int groups;            // of consecutive experts
  int groups_per_token;  // those with the likeliest expert of all; the other groups' are not chosen
  bool normalize;        // the shares of the chosen by their sum
  float scale;           // of the shares
};

// A token and its share of one expert.
struct Use {
  int token;
  float share;
};

class Routes {
 public:
  void reserve(int tokens, const Choice& choice);

  // [tokens][stride] scores of the tokens, [stride] being the experts in whole lanes.
  float* scores() { return scores_.data(); }

  // From the scores of the tokens first .. last-1 to their uses.
  void choose(const Kernels& kernels, const Choice& choice, int first, int last);

  // The uses of one expert after the other, in the order of the experts, each's in the order of tokens; an expert's
  // are begin(expert) .. begin(expert + 1) - 1.
  const Use* uses() const { return uses_.data(); }
  int begin(int expert) const { return begins_[expert]; }
  // The experts that are used, in their order.
  const std::vector<int>& used() const { return used_; }

 private:
  struct Chosen {
    int expert;
    Use use;
  };
  void choose_for(const Kernels& kernels, const Choice& choice, int token);

  Aligned<float> scores_;
  std::vector<int> order_;      // of a token's experts, the likeliest first
  std::vector<Chosen> chosen_;  // [tokens][per_token]
  std::vector<Use> uses_;
  std::vector<int> begins_;
  std::vector<int> used_;
};

}  // namespace flash
