// For the model tests of this directory: a snapshot in memory, and the length of a run.
#pragma once

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernel/shard/snapshot_io.h"

namespace heptane::streams::test {

// `full` operations, times HEPTANE_TEST_SCALE.
inline uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

class MemoryWriter final : public SnapshotWriter {
 public:
  void write(Bytes more) override { bytes.insert(bytes.end(), more.begin(), more.end()); }
  std::vector<std::byte> bytes;
};

class MemoryReader final : public SnapshotReader {
 public:
  explicit MemoryReader(Bytes bytes) : left_(bytes) {}
  bool read(MutableBytes into) override {
    if (into.size() > left_.size()) return false;
    std::copy_n(left_.begin(), into.size(), into.begin());
    left_ = left_.subspan(into.size());
    return true;
  }
  bool complete() const { return left_.empty() && !failed(); }

 private:
  Bytes left_;
};

template <class T>
std::vector<std::byte> saved(const T& thing) {
  MemoryWriter writer;
  thing.save(writer);
  return writer.bytes;
}

}  // namespace heptane::streams::test
