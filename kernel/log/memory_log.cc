#include "kernel/log/memory_log.h"

#include <algorithm>

#include "kernel/log/seal.h"

namespace heptane::log {

class MemoryLog::Reader final : public LogReader {
 public:
  explicit Reader(std::shared_ptr<Store> store) : store_(std::move(store)) {}

  Result<bool> try_read(uint32_t segment, uint64_t offset, MutableBytes into) override {
    HEPTANE_TRY(read(segment, offset, into));
    return true;
  }

  Result<void> read(uint32_t segment, uint64_t offset, MutableBytes into) override {
    std::shared_ptr<const std::vector<std::byte>> bytes;
    uint64_t start = 0;
    {
      const std::lock_guard lock(store_->mutex);
      const auto& batches = store_->batches;
      auto after = std::upper_bound(batches.begin(), batches.end(), std::pair(segment, offset),
                                    [](const auto& place, const Batch& batch) {
                                      return place < std::pair(batch.place.segment, uint64_t{batch.place.offset});
                                    });
      if (after == batches.begin()) return Error{Errc::not_found, "the log does not reach back to that place"};
      --after;
      if (after->place.segment != segment) return Error{Errc::not_found, "no batch at that place"};
      bytes = after->bytes;
      start = offset - after->place.offset;
    }
    if (start > bytes->size() || into.size() > bytes->size() - start)
      return Error{Errc::not_found, "no batch at that place"};
    std::memcpy(into.data(), bytes->data() + start, into.size());
    return {};
  }

 private:
  std::shared_ptr<Store> store_;
};

MemoryLog::MemoryLog(Random& random, ShardId shard) : shard_(shard), store_(std::make_shared<Store>()) {
  random.fill(id_);
}
MemoryLog::~MemoryLog() = default;

Result<RecoveryReport> MemoryLog::recover(const RecoverFrom& from, const BatchVisitor& visit) {
  RecoveryReport report;
  report.durable_evidence = from.durable_evidence;
  std::deque<Batch> batches;
  {
    const std::lock_guard lock(store_->mutex);
    batches = store_->batches;
  }
  report.end.last_sequence = from.next_sequence - 1;
  for (const Batch& batch : batches) {
    Result<BatchView> view = BatchView::decode(*batch.bytes);
    if (!view) return std::move(view.error());
    const BatchHeader& header = view->header();
    report.end = {header.last_sequence(), header.epoch, header.base_time};
    report.durable_evidence = std::max(report.durable_evidence, header.durable_upto);
    const bool before = batch.place.segment < from.place.segment ||
                        (batch.place.segment == from.place.segment && batch.place.offset < from.place.offset);
    if (before) continue;
    ++report.batches;
    report.bytes += header.padded_bytes();
    HEPTANE_TRY(visit(*view, batch.place));
  }
  if (report.end.last_sequence < from.durable_evidence)
    return Error{Errc::corrupt, "the log ends below what a snapshot says was synced"};
  held_ = false;
  failure_.reset();
  next_sequence_ = report.end.last_sequence + 1;
  return report;
}

void MemoryLog::append(PendingBatch& batch, AppendCompletion done) {
  HEPTANE_ASSERT(!pending_done_, "one batch at a time");
  if (failure_) {
    done(*failure_);
    return;
  }
  BatchHeader& header = batch.header;
  check_follows(header, next_sequence_, shard_);
  if (offset_ + header.padded_bytes() > kSegmentBytes) {
    ++segment_;
    offset_ = kBlockBytes;
  }
  header.log_id = id_;
  header.segment = segment_;
  header.offset = static_cast<uint32_t>(offset_);
  header.durable_upto = next_sequence_ - 1;
  header.previous_chain = chain_;
  if (Result<void> sealed = seal_batch(batch); !sealed) {
    failure_ = sealed.error();
    done(std::move(sealed.error()));
    return;
  }
  const size_t bytes = kBatchHeaderBytes + size_t{header.body_bytes};
  Batch kept;
  kept.place = {header.segment, header.offset, static_cast<uint32_t>(bytes)};
  kept.first_sequence = header.first_sequence;
  kept.last_sequence = header.last_sequence();
  kept.bytes = std::make_shared<const std::vector<std::byte>>(batch.memory, batch.memory + bytes);
  pending_crc_ = header.header_crc;
  if (held_) {
    pending_ = std::move(kept);
    pending_done_ = std::move(done);
    return;
  }
  complete(std::move(kept), std::move(done));
}

void MemoryLog::complete(Batch batch, AppendCompletion done) {
  const BatchPlace place = batch.place;
  offset_ = place.offset + (uint64_t{place.bytes} + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
  next_sequence_ = batch.last_sequence + 1;
  chain_ = chain_value(pending_crc_);
  {
    const std::lock_guard lock(store_->mutex);
    store_->batches.push_back(std::move(batch));
  }
  done(place);
}

void MemoryLog::release() {
  held_ = false;
  if (!pending_done_) return;
  AppendCompletion done = std::move(pending_done_);
  pending_done_ = nullptr;
  complete(std::move(pending_), std::move(done));
}

void MemoryLog::drop() {
  held_ = false;
  pending_done_ = nullptr;
  pending_ = {};
}

Result<void> MemoryLog::read(Sequence from, Sequence upto, const BatchVisitor& visit) {
  std::vector<Batch> wanted;
  {
    const std::lock_guard lock(store_->mutex);
    for (const Batch& batch : store_->batches)
      if (batch.last_sequence >= from && batch.first_sequence <= upto && batch.last_sequence >= batch.first_sequence)
        wanted.push_back(batch);
  }
  for (const Batch& batch : wanted) {
    Result<BatchView> view = BatchView::decode(*batch.bytes);
    if (!view) return std::move(view.error());
    HEPTANE_TRY(visit(*view, batch.place));
  }
  return {};
}

std::unique_ptr<LogReader> MemoryLog::reader() { return std::make_unique<Reader>(store_); }

Result<void> MemoryLog::trim(Sequence below) {
  const std::lock_guard lock(store_->mutex);
  auto& batches = store_->batches;
  // As with files: a segment goes as a whole, and only when a later one begins at or below `below`.
  while (!batches.empty()) {
    const uint32_t oldest = batches.front().place.segment;
    const auto next = std::find_if(batches.begin(), batches.end(),
                                   [oldest](const Batch& batch) { return batch.place.segment != oldest; });
    if (next == batches.end() || next->first_sequence > below) break;
    batches.erase(batches.begin(), next);
  }
  return {};
}

}  // namespace heptane::log
