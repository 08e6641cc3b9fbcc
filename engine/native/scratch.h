// Memory of the calling thread's own, as it was left.
#pragma once

#include <cstddef>

#include "aligned.h"

namespace flash {

inline float* scratch(std::size_t size) {
  thread_local Aligned<float> floats;
  if (floats.size() < size) floats.resize(size);
  return floats.data();
}

}  // namespace flash
