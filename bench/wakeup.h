// Wakes one sleeping thread; a wake that comes first is not lost. What the server's threads sleep on.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace heptane::bench {

class Wakeup {
 public:
  void notify() {
    {
      const std::lock_guard lock(mutex_);
      pending_ = true;
    }
    changed_.notify_one();
  }
  // limit_ns < 0: none.
  void wait(int64_t limit_ns) {
    std::unique_lock lock(mutex_);
    const auto woken = [this] { return pending_; };
    if (limit_ns < 0)
      changed_.wait(lock, woken);
    else
      changed_.wait_for(lock, std::chrono::nanoseconds(limit_ns), woken);
    pending_ = false;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool pending_ = false;
};

}  // namespace heptane::bench
