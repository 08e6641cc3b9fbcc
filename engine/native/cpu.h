// What the processor can execute, and which kernels to use on it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels.h"

namespace flash {

// Names of the instruction sets this build has kernels for and this processor runs, best first.
std::vector<std::string> supported_isas();

// The kernels of `name`, or the best ones if `name` is empty. Throws std::invalid_argument naming what is not there.
const Kernels& kernels_for(const std::string& name);

// IEEE rounding with subnormal numbers for the calling thread while it lives, whatever a library left behind:
// results must not depend on the thread that computes them.
class FloatMode {
 public:
  FloatMode();
  ~FloatMode();
  FloatMode(const FloatMode&) = delete;
  FloatMode& operator=(const FloatMode&) = delete;

 private:
  std::uint64_t saved_;
};

}  // namespace flash
