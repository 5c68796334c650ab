// A queue that costs nothing while it is empty, for what exists ten thousand times and mostly waits: std::deque takes 576
// bytes as soon as it is made. Items move in memory when others come; the memory of many is given back when all are gone.
// One owner.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace heptane {

template <class T>
class SmallQueue {
 public:
  bool empty() const { return head_ == items_.size(); }
  size_t size() const { return items_.size() - head_; }
  T& front() { return items_[head_]; }
  T& operator[](size_t index) { return items_[head_ + index]; }
  auto begin() { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() { return items_.end(); }

  void push_back(T item) { items_.push_back(std::move(item)); }
  void pop_front() {
    items_[head_++] = T();
    if (empty()) {
      items_.clear();
      head_ = 0;
      if (items_.capacity() > kKeptItems) items_ = std::vector<T>();
    } else if (head_ >= kCompactAt && head_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), begin());
      head_ = 0;
    }
  }

 private:
  static constexpr size_t kKeptItems = 16;
  static constexpr size_t kCompactAt = 32;
  std::vector<T> items_;
  size_t head_ = 0;  // those before it are gone
};

}  // namespace heptane
