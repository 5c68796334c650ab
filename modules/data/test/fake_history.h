// A log of records in memory for tests of the projection: streams with partitions, and commands that append to them.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "kernel/streams/api.h"
#include "kernel/streams/history.h"
#include "kernel/streams/record_batch.h"

namespace heptane::data::sql {

struct FakeRecord {
  PartitionId partition = 0;
  Offset offset = 0;
  Sequence position = 0;
  std::string key;
  std::string value;
};

class FakeHistory final : public streams::HistoryReader {
 public:
  Sequence durable() const override {
    const std::lock_guard lock(mutex_);
    return commands_.size();
  }

  // Whole commands until about `bytes_most`.
  Result<Sequence> read(Sequence from, uint64_t bytes_most, streams::HistoryVisitor& visitor) override {
    const std::vector<std::vector<FakeRecord>> commands = copy();
    uint64_t bytes = 0;
    Sequence at = from;
    for (; at <= commands.size() && bytes < std::min(bytes_most, step_bytes.load()); ++at)
      for (const FakeRecord& record : commands[at - 1]) {
        bytes += record.value.size() + 1;
        if (!visitor.wants(record.partition, record.offset + 1)) continue;
        streams::RecordBatchBuilder builder;
        builder.begin(1'700'000'000'000);
        builder.add(1'700'000'000'000 + static_cast<int64_t>(at), !record.key.empty(), as_bytes(record.key), true,
                    as_bytes(record.value));
        const Result<void> taken =
            visitor.take({record.partition, builder.finish(record.offset, 1, true), at, {}, false});
        if (!taken) return taken.error();
      }
    return at - 1;
  }

  void create(std::string name, std::vector<PartitionId> ids) {
    const std::lock_guard lock(mutex_);
    streams::StreamInfo info;
    info.name = std::move(name);
    for (const PartitionId id : ids) info.partitions.push_back({id, 0, 0});
    streams_.push_back(std::move(info));
  }
  void remove(std::string_view name) {
    const std::lock_guard lock(mutex_);
    std::erase_if(streams_, [name](const streams::StreamInfo& stream) { return stream.name == name; });
  }
  void trim(PartitionId id, Offset start) {
    const std::lock_guard lock(mutex_);
    for (streams::StreamInfo& stream : streams_)
      for (streams::PartitionInfo& partition : stream.partitions)
        if (partition.id == id) partition.log_start = start;
  }
  // One command with a record for each value; returns its position.
  Sequence append(PartitionId partition, const std::vector<std::string>& values) {
    const std::lock_guard lock(mutex_);
    std::vector<FakeRecord> records;
    for (const std::string& value : values)
      records.push_back({partition, next_[partition]++, commands_.size() + 1, "k" + std::to_string(partition), value});
    commands_.push_back(std::move(records));
    return commands_.size();
  }
  std::vector<streams::StreamInfo> streams() const {
    const std::lock_guard lock(mutex_);
    return streams_;
  }
  std::vector<std::vector<FakeRecord>> copy() const {
    const std::lock_guard lock(mutex_);
    return commands_;
  }

  std::atomic<uint64_t> step_bytes{UINT64_MAX};  // of one read

 private:
  mutable std::mutex mutex_;
  std::vector<streams::StreamInfo> streams_;
  std::map<PartitionId, Offset> next_;
  std::vector<std::vector<FakeRecord>> commands_;
};

}  // namespace heptane::data::sql
