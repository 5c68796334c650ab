// Reads of the log outside memory: the I/O thread hands them to readers and gets immutable buffers back, so that it never
// waits for the disk. What is in memory it reads by itself.
//
// Bounds: at most kJobsMax reads are queued, under way or done and not yet taken; readers rest while kDoneBytesMax are done
// and not taken. A full queue refuses: the I/O loop keeps the read and offers it again.
// Threads: ReadQueue between the I/O thread (try_push, take_done) and the readers (take_job, finish); a ReaderRole is its
// thread's own, PooledRecordsReader the I/O thread's.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "kernel/server/records_reader.h"

namespace heptane::server {

class ReadQueue {
 public:
  static constexpr size_t kJobsMax = 256;
  static constexpr uint64_t kDoneBytesMax = uint64_t{64} << 20;

  // Before the first job.
  void set_wake_readers(std::function<void()> wake) { wake_readers_ = std::move(wake); }
  void set_wake_io(std::function<void()> wake) { wake_io_ = std::move(wake); }

  // False: full; `job` is untouched.
  bool try_push(net::ReadJob& job);
  std::optional<net::ReadJob> take_job();
  void finish(net::ReadDone done);
  std::optional<net::ReadDone> take_done();
  size_t outstanding() const;

 private:
  mutable std::mutex mutex_;
  std::deque<net::ReadJob> jobs_;
  std::deque<net::ReadDone> done_;
  size_t outstanding_ = 0;
  uint64_t done_bytes_ = 0;
  std::function<void()> wake_readers_;
  std::function<void()> wake_io_;
};

class ReaderRole {
 public:
  ReaderRole(ReadQueue& queue, std::unique_ptr<LogRecordsReader> reader) : queue_(queue), reader_(std::move(reader)) {}
  // One read; true when it did one.
  bool run_once();

 private:
  ReadQueue& queue_;
  std::unique_ptr<LogRecordsReader> reader_;
};

struct ReadCounters {
  std::atomic<uint64_t> from_memory_total{0};
  std::atomic<uint64_t> by_readers_total{0};
};

class PooledRecordsReader final : public net::RecordsReader {
 public:
  PooledRecordsReader(ReadQueue& queue, std::unique_ptr<LogRecordsReader> memory)
      : queue_(queue), memory_(std::move(memory)) {}
  net::RecordsRead read(const ReadReply& where) override { return memory_->read(where); }
  std::optional<net::RecordsRead> try_read(const ReadReply& where) override;
  bool submit(net::ReadJob& job) override;
  std::optional<net::ReadDone> take_done() override;
  const ReadCounters& counters() const { return counters_; }

 private:
  ReadQueue& queue_;
  static constexpr uint64_t kReadsBetweenLooks = 256;
  std::unique_ptr<LogRecordsReader> memory_;
  uint64_t tried_ = 0;
  ReadCounters counters_;
};

}  // namespace heptane::server
