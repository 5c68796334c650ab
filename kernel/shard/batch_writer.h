// The batch in the making: entries are laid one after another into aligned memory that the commit writes as it is.
// A command that is refused is taken back. The shard thread's until the batch is handed over.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernel/log/log.h"
#include "kernel/shard/stream_store.h"

namespace heptane {

// Aligned memory for one batch; pages never touched cost nothing. Held by the one who fills it and by those who still read
// what is in it.
class BatchMemory {
 public:
  BatchMemory();
  ~BatchMemory();
  BatchMemory(const BatchMemory&) = delete;
  BatchMemory& operator=(const BatchMemory&) = delete;
  std::byte* data() const { return data_; }
  // Gives the pages beyond `bytes` back to the system.
  void trim(size_t bytes);

 private:
  std::byte* data_;
};

// Memory that nobody holds any more waits here for the next batch, with its pages. Any thread.
class BatchMemoryPool : public std::enable_shared_from_this<BatchMemoryPool> {
 public:
  std::shared_ptr<BatchMemory> take();

 private:
  static constexpr size_t kKept = 2;
  void give_back(std::unique_ptr<BatchMemory> memory);

  std::mutex mutex_;
  std::vector<std::unique_ptr<BatchMemory>> free_;
};

class BatchWriter {
 public:
  explicit BatchWriter(std::shared_ptr<BatchMemoryPool> pool) : pool_(std::move(pool)) {}

  // The first sequence the batch will hold; base time is the first command's.
  void begin(ShardId shard, Epoch epoch, Sequence first_sequence, LogTime base_time);

  size_t body_bytes() const { return size_ - log::kBatchHeaderBytes; }
  bool empty() const { return size_ == log::kBatchHeaderBytes; }
  uint32_t command_count() const { return batch_.header.command_count; }
  Sequence first_sequence() const { return batch_.header.first_sequence; }
  Epoch epoch() const { return batch_.header.epoch; }
  LogTime base_time() const { return batch_.header.base_time; }

  // Lays down header room, extensions and payload; returns the entry's offset. `header` is completed with the sizes.
  uint32_t append(log::EntryHeader& header, Bytes extensions, Bytes payload);
  std::byte* payload_at(uint32_t entry_offset, const log::EntryHeader& header);
  // Adds extensions to the entry laid down last: what became known while its command was applied.
  void extend(uint32_t entry_offset, log::EntryHeader& header, Bytes extensions);
  void seal(uint32_t entry_offset, log::EntryHeader& header);
  // Takes back everything from `entry_offset` on: the refused command.
  void take_back(uint32_t entry_offset);
  void count_command() { ++batch_.header.command_count; }

  // An entry of kind `records`, sealed by the commit.
  void append_records(PartitionId partition, Bytes record_batch, uint32_t count, Bytes causes, const EntryRun& run);
  // The entry at `entry_offset` is the place of this run.
  void add_run(EntryRun run, uint32_t entry_offset, const log::EntryHeader& header) {
    run.begin = entry_offset;
    run.finish = entry_offset + static_cast<uint32_t>(header.stored_bytes());
    runs_.push_back(run);
  }
  const std::vector<EntryRun>& runs() const { return runs_; }

  // Completes the header fields that are the shard's. The batch is then the commit's until reset by begin().
  // After the commit: pages of a large batch go back to the system.
  void release_pages();
  log::PendingBatch& pending() { return batch_; }
  log::PendingBatch& finish(const Hash128& effects_digest, uint16_t flags = 0);

 private:
  std::shared_ptr<BatchMemoryPool> pool_;
  std::shared_ptr<BatchMemory> memory_;
  log::PendingBatch batch_;
  size_t size_ = log::kBatchHeaderBytes;
  std::vector<EntryRun> runs_;
};

}  // namespace heptane
