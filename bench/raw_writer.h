// The raw limit: bytes written and synced into segments that are made the same way as the log's, by the same pool with the
// same housekeeping thread, and nothing else done. One owner.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "bench/wakeup.h"
#include "kernel/base/disk.h"
#include "kernel/log/segment_pool.h"

namespace heptane::bench {

class RawWriter {
 public:
  explicit RawWriter(const std::string& directory);
  ~RawWriter();
  RawWriter(const RawWriter&) = delete;
  RawWriter& operator=(const RawWriter&) = delete;

  // pwrite + fdatasync of that many bytes (a multiple of a block) behind what was written before.
  void write(uint64_t bytes);

 private:
  File& file_for(uint64_t bytes);
  void helper_loop();

  const std::string directory_;
  SystemDisk disk_;
  std::unique_ptr<log::SegmentPool> pool_;
  log::TakenSegment segment_;
  std::unique_ptr<File> direct_;
  uint64_t offset_ = 0;
  std::unique_ptr<std::byte, void (*)(std::byte*)> memory_;
  std::atomic<bool> ended_{false};
  std::atomic<uint64_t> written_{0};
  Wakeup helper_wakeup_;
  std::thread helper_;
};

}  // namespace heptane::bench
