// A queue that owns no memory while it is empty and was never long: what an idle connection has most of. One thread's.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace heptane::iot::mqtt {

template <class T>
class Fifo {
 public:
  bool empty() const { return head_ == items_.size(); }
  size_t size() const { return items_.size() - head_; }
  T& operator[](size_t at) { return items_[head_ + at]; }
  T& front() { return items_[head_]; }
  const T& front() const { return items_[head_]; }
  T& back() { return items_.back(); }
  auto begin() { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() { return items_.end(); }
  auto begin() const { return items_.begin() + static_cast<std::ptrdiff_t>(head_); }
  auto end() const { return items_.end(); }

  void push_back(T item) { items_.push_back(std::move(item)); }

  void pop_front() {
    items_[head_++] = T();
    if (empty()) {
      clear();
    } else if (head_ >= kCompactAt && head_ * 2 >= items_.size()) {
      items_.erase(items_.begin(), begin());
      head_ = 0;
    }
  }

  void clear() {
    head_ = 0;
    if (items_.capacity() * sizeof(T) > kKeptBytes)
      items_ = {};
    else
      items_.clear();
  }

 private:
  static constexpr size_t kCompactAt = 32;
  static constexpr size_t kKeptBytes = 512;  // for the next ones
  std::vector<T> items_;
  size_t head_ = 0;
};

}  // namespace heptane::iot::mqtt
