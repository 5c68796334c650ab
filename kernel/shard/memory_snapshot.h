// A state that was saved into memory and can be restored from there, from its beginning after rewind(). One thread's.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernel/shard/snapshot_io.h"

namespace heptane {

class MemorySnapshot final : public SnapshotWriter, public SnapshotReader {
 public:
  void write(Bytes bytes) override { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  bool read(MutableBytes into) override {
    if (bytes_.size() - at_ < into.size()) return false;
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(at_), into.size(), into.begin());
    at_ += into.size();
    return true;
  }
  void rewind() { at_ = 0; }
  bool at_end() const { return at_ == bytes_.size(); }
  Bytes bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
  size_t at_ = 0;
};

}  // namespace heptane
