#include "kernel/streams/event_packer.h"

#include <algorithm>

namespace heptane::streams {

namespace {
constexpr size_t kSparePacks = 64;
constexpr uint64_t kPackOverheadBytes = log::kEntryHeaderBytes + kRecordBatchHeaderBytes + 16;
constexpr int64_t kNsPerMs = 1'000'000;
constexpr size_t kVarint32Bytes = 5;

std::byte* put_varint(std::byte* at, uint32_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = static_cast<std::byte>(value | 0x80);
  *at++ = static_cast<std::byte>(value);
  return at;
}

// Both numbers at once: this runs for every event.
void add_cause(ByteWriter& causes, uint32_t command_delta, Ordinal ordinal) {
  std::byte bytes[2 * kVarint32Bytes];
  const std::byte* end = put_varint(put_varint(bytes, command_delta), ordinal);
  causes.append({bytes, end});
}
}  // namespace

EventPacker::Pack& EventPacker::pack_of(PartitionId partition, Offset offset, int64_t timestamp_ms) {
  if (!active_.empty() && active_.back()->partition == partition) return *active_.back();
  Pack*& pack = by_partition_[partition];
  if (pack != nullptr) return *pack;
  if (spare_.empty()) spare_.push_back(std::make_unique<Pack>());
  active_.push_back(std::move(spare_.back()));
  spare_.pop_back();
  pack = active_.back().get();
  pack->partition = partition;
  pack->records.begin(timestamp_ms);
  pack->causes.clear();
  pack->base_offset = offset;
  pack->max_timestamp_ms = timestamp_ms;
  pack->counted_bytes = kPackOverheadBytes;
  packed_bytes_ += kPackOverheadBytes;
  return *pack;
}

void EventPacker::pack(const Event& event, Offset offset, LogTime time, uint32_t command_delta, Ordinal ordinal) {
  const int64_t timestamp_ms = time / kNsPerMs;
  Pack& pack = pack_of(event.partition, offset, timestamp_ms);
  pack.records.add(timestamp_ms, event.has_key, event.key, true, event.value);
  add_cause(pack.causes, command_delta, ordinal);
  pack.max_timestamp_ms = std::max(pack.max_timestamp_ms, timestamp_ms);
  const uint64_t now_bytes = kPackOverheadBytes + pack.records.size_bytes() + pack.causes.size();
  packed_bytes_ += now_bytes - pack.counted_bytes;
  pack.counted_bytes = now_bytes;
}

void EventPacker::write(Pack& pack, BatchWriter& out) {
  const uint32_t count = pack.records.count();
  const EntryRun run{pack.partition,        pack.base_offset, pack.base_offset + count, 0, 0,
                     pack.max_timestamp_ms, out.epoch()};
  const Bytes batch = pack.records.finish(pack.base_offset, static_cast<int32_t>(out.epoch()), false);
  out.append_records(pack.partition, batch, count, pack.causes.view(), run);
  packed_bytes_ -= pack.counted_bytes;
}

void EventPacker::flush(PartitionId partition, BatchWriter& out) {
  const auto found = by_partition_.find(partition);
  if (found == by_partition_.end()) return;
  Pack* pack = found->second;
  by_partition_.erase(found);
  write(*pack, out);
  const auto at = std::find_if(active_.begin(), active_.end(), [&](const auto& item) { return item.get() == pack; });
  if (spare_.size() < kSparePacks) spare_.push_back(std::move(*at));
  active_.erase(at);
}

void EventPacker::flush_all(BatchWriter& out) {
  for (std::unique_ptr<Pack>& pack : active_) {
    write(*pack, out);
    if (spare_.size() < kSparePacks) spare_.push_back(std::move(pack));
  }
  active_.clear();
  by_partition_.clear();
}

}  // namespace heptane::streams
