// A bounded single-producer, single-consumer ring. One interface for both forms of use: between two threads, and (in the
// simulator and the merged loop) within one. Capacity is rounded up to a power of two. An item lives from its push to its pop,
// and memory that no item has been in is not touched.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <new>
#include <utility>

namespace heptane {

template <class T>
class SpscRing {
 public:
  explicit SpscRing(size_t capacity) {
    size_t rounded = 1;
    while (rounded < capacity) rounded *= 2;
    slots_ = std::allocator<T>().allocate(rounded);
    mask_ = rounded - 1;
  }
  ~SpscRing() {
    while (front() != nullptr) pop();
    std::allocator<T>().deallocate(slots_, capacity());
  }
  SpscRing(const SpscRing&) = delete;
  SpscRing& operator=(const SpscRing&) = delete;

  // Producer. False when full; `item` is then untouched.
  bool try_push(T&& item) { return try_emplace(std::move(item)); }
  // The same of T{parts...}, made in its place.
  template <class... Parts>
  bool try_emplace(Parts&&... parts) {
    const size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail - head_seen_ > mask_) {
      head_seen_ = head_.load(std::memory_order_acquire);
      if (tail - head_seen_ > mask_) return false;
    }
    ::new (static_cast<void*>(slots_ + (tail & mask_))) T{std::forward<Parts>(parts)...};
    tail_.store(tail + 1, std::memory_order_release);
    return true;
  }

  // Consumer. The front item, or nullptr; stays until pop().
  T* front() {
    const size_t head = head_.load(std::memory_order_relaxed);
    if (head == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (head == tail_seen_) return nullptr;
    }
    return slots_ + (head & mask_);
  }
  // Consumer; front() was not nullptr. Destroys the item at once.
  void pop() {
    const size_t head = head_.load(std::memory_order_relaxed);
    std::destroy_at(slots_ + (head & mask_));
    head_.store(head + 1, std::memory_order_release);
  }

  size_t capacity() const { return mask_ + 1; }
  // Any thread; exact only on one side.
  size_t size() const { return tail_.load(std::memory_order_acquire) - head_.load(std::memory_order_acquire); }
  bool empty() const { return size() == 0; }

 private:
  T* slots_ = nullptr;
  size_t mask_ = 0;
  alignas(64) std::atomic<size_t> head_{0};
  size_t tail_seen_ = 0;  // consumer's
  alignas(64) std::atomic<size_t> tail_{0};
  size_t head_seen_ = 0;  // producer's
};

}  // namespace heptane
