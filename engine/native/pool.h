// Threads that run one function together, with barriers inside it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace flash {

class Pool {
 public:
  explicit Pool(int threads);  // the caller of run() is one of them
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }

  // Calls work(index) for index 0 .. size-1, each on its own thread, and returns when all are done. `work` must not
  // throw. Between runs the threads wait: a short time spinning, then parked, at no cost.
  void run(const std::function<void(int)>& work);

  // Inside run: waits until every thread of the pool is here.
  void barrier();

 private:
  void serve(int index);

  const int size_;
  const std::function<void(int)>* work_ = nullptr;
  std::atomic<unsigned> round_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<int> arrived_{0};
  alignas(64) std::atomic<unsigned> phase_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

// The part of 0 .. count-1 that thread `index` of `size` works on.
struct Share {
  Share(int count, int index, int size)
      : first(static_cast<int>(static_cast<long long>(count) * index / size)),
        last(static_cast<int>(static_cast<long long>(count) * (index + 1) / size)) {}
  int first;
  int last;
};

}  // namespace flash
