// A normalization of a row of values.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"

namespace flash {

struct Norm {
  std::vector<float> weight;
  std::vector<float> bias;  // of a layer norm; empty: RMS norm
  float epsilon;

  // Into the row of activations `out`, whose size is the norm's.
  void run(const Kernels& kernels, const float* x, Activations out) const {
    if (bias.empty())
      kernels.rms_norm(x, weight.data(), epsilon, out);
    else
      kernels.layer_norm(x, weight.data(), bias.data(), epsilon, out);
  }
};

// Throws std::invalid_argument naming `name` if the norm is not of `size` values.
inline void require_size(const Norm& norm, int size, const std::string& name) {
  const auto fits = [&](const std::vector<float>& values) { return static_cast<int>(values.size()) == size; };
  if (fits(norm.weight) && (norm.bias.empty() || fits(norm.bias))) return;
  throw std::invalid_argument(name + " has " + std::to_string(norm.weight.size()) + " values, not " +
                              std::to_string(size));
}

}  // namespace flash
