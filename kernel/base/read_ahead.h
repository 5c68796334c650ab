// Work done some items ahead of the one who takes them: a thread of its own fills slots, in order, and reuses them with
// their memory. With no slots everything happens inside next(), on the caller's thread: the simulator's way.
// Invariant: a slot belongs to the producer or to the consumer, never to both; at most `slots` are filled and not taken.
// next() and the destructor: the consumer's thread; `produce`: only one thread at a time.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace heptane {

template <class Item>
class ReadAhead {
 public:
  // Fills the item; false: there are no more, and the item is not looked at.
  using Produce = std::function<bool(Item&)>;

  ReadAhead(size_t slots, Produce produce) : produce_(std::move(produce)), items_(slots == 0 ? 1 : slots + 1) {
    if (slots > 0) thread_ = std::thread([this] { fill(); });
  }
  ~ReadAhead() { stop(); }
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;

  // Nothing is produced afterwards, and what it worked on may be touched again; next() still gives what was filled by then.
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      stopped_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  // The next item, the caller's until the next call; nullptr behind the last one.
  Item* next() {
    if (items_.size() == 1) return !stopped_ && produce_(items_[0]) ? &items_[0] : nullptr;
    std::unique_lock lock(mutex_);
    if (taken_ > 0) {
      ++released_;
      changed_.notify_all();
    }
    changed_.wait(lock, [this] { return filled_ > taken_ || ended_ || stopped_; });
    if (filled_ == taken_) return nullptr;
    return &items_[taken_++ % items_.size()];
  }

 private:
  void fill() {
    for (size_t number = 0;; ++number) {
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stopped_ || number - released_ < items_.size(); });
        if (stopped_) return;
      }
      const bool more = produce_(items_[number % items_.size()]);
      {
        const std::lock_guard lock(mutex_);
        if (more)
          filled_ = number + 1;
        else
          ended_ = true;
      }
      changed_.notify_all();
      if (!more) return;
    }
  }

  Produce produce_;
  std::vector<Item> items_;  // one more than is filled ahead: the consumer's
  std::mutex mutex_;
  std::condition_variable changed_;
  size_t filled_ = 0;
  size_t taken_ = 0;
  size_t released_ = 0;
  bool ended_ = false;
  bool stopped_ = false;
  std::thread thread_;
};

}  // namespace heptane
