// For the tests of this directory: batches with made-up commands, and a log on any disk that remembers what it was told.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>

#include "kernel/base/crc32c.h"
#include "kernel/log/segment_log.h"

namespace heptane::log::test {

inline int scale() {
  const char* text = std::getenv("HEPTANE_TEST_SCALE");
  const int value = text == nullptr ? 1 : std::atoi(text);
  return value < 1 ? 1 : value;
}

// Sanitisers slow a disk in memory by more than ten times: there, a sample.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned kSampleOneIn = 8;
#else
constexpr unsigned kSampleOneIn = 1;
#endif

inline std::vector<std::byte> random_bytes(SeededRandom& random, size_t count) {
  std::vector<std::byte> bytes(count);
  random.fill(bytes);
  return bytes;
}

// A batch under construction in memory of its own.
class TestBatch {
 public:
  TestBatch(Sequence first, Epoch epoch, uint16_t flags = 0, size_t capacity = size_t{128} << 10)
      : capacity_(capacity / kBlockBytes * kBlockBytes), memory_(allocate(capacity_), &std::free) {
    batch_.memory = memory_.get();
    batch_.header.first_sequence = first;
    batch_.header.epoch = epoch;
    batch_.header.flags = flags;
    batch_.header.base_time = static_cast<LogTime>(first) * 1000;
  }

  void add_command(Bytes payload, Bytes extensions = {}) {
    EntryHeader header;
    header.payload_crc = crc32c(payload);
    header.machine = 7;
    header.type = 3;
    lay_down(header, extensions, payload);
    seal_entry(batch_.memory + last_entry_, header);
    ++batch_.header.command_count;
  }
  // A record batch with made-up contents; the commit seals it.
  void add_records(Bytes records, bool is_command) {
    std::vector<std::byte> payload(kRecordBatchPrefixBytes);
    payload.insert(payload.end(), records.begin(), records.end());
    EntryHeader header;
    header.kind = is_command ? EntryKind::record_command : EntryKind::records;
    header.partition = 5;
    header.detail = 1;
    lay_down(header, {}, payload);
    encode(header, batch_.memory + last_entry_);
    batch_.unsealed_records.push_back(last_entry_);
    if (is_command) ++batch_.header.command_count;
  }

  PendingBatch& pending() { return batch_; }
  BatchHeader& header() { return batch_.header; }
  uint32_t last_entry() const { return last_entry_; }

 private:
  static std::byte* allocate(size_t capacity) {
    auto* memory = static_cast<std::byte*>(std::aligned_alloc(kBlockBytes, capacity));
    std::memset(memory, 0xA5, kBlockBytes);  // the log must not count on zeros
    return memory;
  }

  void lay_down(EntryHeader& header, Bytes extensions, Bytes payload) {
    header.payload_bytes = static_cast<uint32_t>(payload.size());
    header.extension_bytes = static_cast<uint32_t>(extensions.size());
    last_entry_ = static_cast<uint32_t>(kBatchHeaderBytes + batch_.header.body_bytes);
    HEPTANE_ASSERT(last_entry_ + header.stored_bytes() + kBlockBytes <= capacity_, "give the test batch more room");
    std::byte* at = batch_.memory + last_entry_;
    std::memset(at, 0, static_cast<size_t>(header.stored_bytes()));
    if (!extensions.empty()) std::memcpy(at + kEntryHeaderBytes, extensions.data(), extensions.size());
    if (!payload.empty()) std::memcpy(at + kEntryHeaderBytes + extensions.size(), payload.data(), payload.size());
    batch_.header.body_bytes += static_cast<uint32_t>(header.stored_bytes());
  }

  const size_t capacity_;
  PendingBatch batch_;
  std::unique_ptr<std::byte, decltype(&std::free)> memory_;
  uint32_t last_entry_ = 0;
};

// What recovery handed over, by sequence.
using Contents = std::map<Sequence, std::vector<std::byte>>;

inline BatchVisitor collect_into(Contents& contents) {
  return [&contents](const BatchView& batch, const BatchPlace&) {
    return batch.for_each_entry([&contents](const EntryView& entry, Sequence sequence) -> Result<void> {
      if (entry.header.is_command()) contents[sequence].assign(entry.payload.begin(), entry.payload.end());
      return {};
    });
  };
}

struct Opened {
  std::unique_ptr<SegmentLog> log;
  RecoveryReport report;
  Contents contents;
  std::optional<Error> error;
};

inline SegmentLogOptions small_options(const std::string& data = "/data", uint64_t segment_bytes = 64 << 10) {
  SegmentLogOptions options = segment_log_options(data);
  options.segment_bytes = segment_bytes;
  options.direct_from_bytes = 2 * kBlockBytes;  // both ways of writing
  options.recovery_read_ahead = 2;              // the simulator's is 0
  return options;
}

inline Opened open_log(Disk& disk, Random& random, const SegmentLogOptions& options, const RecoverFrom& from = {}) {
  Opened opened;
  Result<std::unique_ptr<SegmentLog>> log = SegmentLog::open(disk, random, options);
  if (!log) {
    opened.error = log.error();
    return opened;
  }
  Result<RecoveryReport> report = (*log)->recover(from, collect_into(opened.contents));
  if (!report) {
    opened.error = report.error();
    return opened;
  }
  opened.log = std::move(*log);
  opened.report = *report;
  return opened;
}

inline Result<BatchPlace> append_now(Log& log, TestBatch& batch) {
  Result<BatchPlace> outcome = Error{Errc::internal, "not completed"};
  log.append(batch.pending(), [&outcome](Result<BatchPlace> place) { outcome = std::move(place); });
  return outcome;
}

// `commands` commands of about `bytes` bytes each; what they hold goes into `contents`.
inline Result<BatchPlace> append_commands(SegmentLog& log, SeededRandom& random, Epoch epoch, size_t commands,
                                          size_t bytes, Contents* contents = nullptr) {
  TestBatch batch(log.next_sequence(), epoch, 0, commands * (bytes + 64) + 4 * kBlockBytes);
  const Sequence first = log.next_sequence();
  std::vector<std::vector<std::byte>> payloads;
  for (size_t i = 0; i < commands; ++i) {
    payloads.push_back(random_bytes(random, bytes));
    batch.add_command(payloads.back());
  }
  Result<BatchPlace> place = append_now(log, batch);
  if (place && contents != nullptr)
    for (size_t i = 0; i < commands; ++i) (*contents)[first + i] = payloads[i];
  return place;
}

inline Result<BatchPlace> append_seal(SegmentLog& log, Epoch epoch) {
  TestBatch seal(log.next_sequence(), epoch, kSealFlag);
  return append_now(log, seal);
}

}  // namespace heptane::log::test
