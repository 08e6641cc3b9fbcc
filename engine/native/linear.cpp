#include "linear.h"

#include <map>
#include <mutex>

namespace flash {

const float* Linear::zeros(std::size_t size) {
  static std::mutex mutex;
  static std::map<std::size_t, std::vector<float>> by_size;
  const std::lock_guard<std::mutex> lock(mutex);
  return by_size.try_emplace(size, size).first->second.data();
}

}  // namespace flash
