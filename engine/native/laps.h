// Where the time of a pass goes.
#pragma once

#include <array>
#include <chrono>
#include <thread>

namespace flash {

enum class Operation { kEmbed, kNorm, kQkv, kAttention, kOutput, kGateUp, kDown, kHead };

constexpr std::array<const char*, 8> kOperationNames = {"embed",  "norm",    "qkv",  "attention",
                                                        "o_proj", "gate_up", "down", "head"};

// Seconds of each operation, waiting for the other threads included, as the thread that begins a pass sees them.
class Laps {
 public:
  void begin() {
    owner_ = std::this_thread::get_id();
    last_ = Clock::now();
  }

  // All since the lap before was `operation`. Other threads' calls do nothing.
  void lap(Operation operation) {
    if (std::this_thread::get_id() != owner_) return;
    const Clock::time_point now = Clock::now();
    seconds_[static_cast<std::size_t>(operation)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

  const std::array<double, kOperationNames.size()>& seconds() const { return seconds_; }

 private:
  using Clock = std::chrono::steady_clock;
  std::thread::id owner_;
  Clock::time_point last_;
  std::array<double, kOperationNames.size()> seconds_{};
};

}  // namespace flash
