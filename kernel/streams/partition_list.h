// The partitions of a stream by index. Most streams get all of theirs when they are created, numbered in a row: those take
// no memory of their own, which counts with ten thousand streams. The shard thread's.
#pragma once

#include <memory>
#include <vector>

#include "kernel/base/ids.h"

namespace heptane::streams {

class PartitionList {
 public:
  size_t size() const { return row_ + (more_ ? more_->size() : 0); }
  PartitionId operator[](size_t index) const {
    return index < row_ ? first_ + static_cast<PartitionId>(index) : (*more_)[index - row_];
  }
  PartitionId front() const { return first_; }

  void push_back(PartitionId partition) {
    if (row_ == 0) first_ = partition;
    if (!more_ && partition == first_ + row_) {
      ++row_;
      return;
    }
    if (!more_) more_ = std::make_unique<std::vector<PartitionId>>();
    more_->push_back(partition);
  }
  // Drops the last ones.
  void shrink(size_t size) {
    if (size <= row_) {
      row_ = static_cast<uint32_t>(size);
      more_.reset();
    } else {
      more_->resize(size - row_);
    }
  }

  class Iterator {
   public:
    Iterator(const PartitionList& list, size_t index) : list_(list), index_(index) {}
    PartitionId operator*() const { return list_[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const PartitionList& list_;
    size_t index_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  PartitionId first_ = kNoPartition;
  uint32_t row_ = 0;  // how many follow each other from first_ on
  std::unique_ptr<std::vector<PartitionId>> more_;
};

}  // namespace heptane::streams
