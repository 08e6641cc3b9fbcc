#include "limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <vector>

#include "matrix.h"
#include "pool.h"

namespace flash {
namespace {

constexpr int kRepeats = 60;

// Seconds of the fastest of several calls of `work`.
template <class Work>
double fastest(const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const Clock::time_point start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

constexpr std::size_t kLineBytes = 64;

// A sum of all words, as many sums as leave memory the only limit. Lines are prefetched `Ahead` bytes before their use,
// or not at all for 0: which reads faster depends on the processor.
template <int Ahead>
std::uint64_t read_lines(const std::uint8_t* data, std::size_t lines) {
  constexpr std::size_t kSums = 32;
  const auto* words = reinterpret_cast<const std::uint64_t*>(data);
  const std::size_t size = lines * kLineBytes / sizeof *words;
  std::uint64_t sums[kSums] = {};
  for (std::size_t i = 0; i + kSums <= size; i += kSums) {
    if constexpr (Ahead > 0)
      for (std::size_t j = 0; j < kSums * sizeof *words; j += kLineBytes)
        __builtin_prefetch(data + i * sizeof *words + Ahead + j, 0, 2);
    for (std::size_t j = 0; j < kSums; ++j) sums[j] += words[i + j];
  }
  return std::accumulate(sums, sums + kSums, std::uint64_t{0});
}

}  // namespace

double read_bandwidth(std::size_t bytes, int threads) {
  constexpr int kParts = 256;
  const std::size_t lines = std::max<std::size_t>(1, bytes / kParts / kLineBytes);
  Arena arena;
  std::vector<std::shared_ptr<std::uint8_t>> parts(kParts);
  for (auto& part : parts) part = arena.take(lines * kLineBytes);
  std::atomic<std::uint64_t> total{0};
  Pool pool(threads);
  double seconds = 1e9;
  for (const auto read : {read_lines<0>, read_lines<4096>})
    seconds = std::min(seconds, fastest([&] {
                         pool.run(nullptr, [&](Crew crew) {
                           crew.share(kParts, 4, [&](int first, int last) {
                             for (int i = first; i < last; ++i) total += read(parts[i].get(), lines);
                           });
                         });
                       }));
  return static_cast<double>(lines * kLineBytes * kParts) / seconds;
}

double product_rate(const Kernels& kernels, int threads) {
  constexpr int kRounds = 20000;
  constexpr int kBursts = 8;
  std::atomic<std::int64_t> done{0};
  Pool pool(threads);
  const double seconds = fastest([&] {
    pool.run(nullptr, [&](Crew crew) {
      crew.share(kBursts * crew.threads(), 1, [&](int, int) { done += kernels.product_burst(kRounds); });
    });
  });
  return static_cast<double>(done) / kRepeats / seconds;
}

}  // namespace flash
