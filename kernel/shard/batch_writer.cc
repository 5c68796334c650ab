#include "kernel/shard/batch_writer.h"

#include <sys/mman.h>

#include <cstring>

namespace heptane {

namespace {
constexpr size_t kMemoryBytes = log::kBatchLimitBytes + log::kBlockBytes;

// The lines that the next commands go into. The memory was last in use many batches ago.
void expect_writes(const std::byte* end) {
  constexpr size_t kLineBytes = 64;
  constexpr size_t kAheadBytes = 12 * kLineBytes;
  for (size_t line = 0; line < 4; ++line) __builtin_prefetch(end + kAheadBytes + line * kLineBytes, 1);
}
}  // namespace

BatchMemory::BatchMemory() {
  void* memory =
      ::mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  HEPTANE_ASSERT(memory != MAP_FAILED, "no memory for a batch");
  ::madvise(memory, kMemoryBytes, MADV_DONTFORK);  // a child that writes a snapshot neither needs nor copies it
  data_ = static_cast<std::byte*>(memory);
}

BatchMemory::~BatchMemory() { ::munmap(data_, kMemoryBytes); }

void BatchMemory::trim(size_t bytes) {
  const size_t keep = (bytes + log::kBlockBytes - 1) / log::kBlockBytes * log::kBlockBytes;
  if (keep < kMemoryBytes) ::madvise(data_ + keep, kMemoryBytes - keep, MADV_DONTNEED);
}

std::shared_ptr<BatchMemory> BatchMemoryPool::take() {
  std::unique_ptr<BatchMemory> memory;
  {
    const std::lock_guard lock(mutex_);
    if (!free_.empty()) {
      memory = std::move(free_.back());
      free_.pop_back();
    }
  }
  if (!memory) memory = std::make_unique<BatchMemory>();
  return {memory.release(),
          [pool = shared_from_this()](BatchMemory* last) { pool->give_back(std::unique_ptr<BatchMemory>(last)); }};
}

void BatchMemoryPool::give_back(std::unique_ptr<BatchMemory> memory) {
  const std::lock_guard lock(mutex_);
  if (free_.size() < kKept) free_.push_back(std::move(memory));
}

void BatchWriter::begin(ShardId shard, Epoch epoch, Sequence first_sequence, LogTime base_time) {
  batch_.header = log::BatchHeader{};
  batch_.header.shard = shard;
  batch_.header.epoch = epoch;
  batch_.header.first_sequence = first_sequence;
  batch_.header.base_time = base_time;
  // The log took the owner: the memory is for those who read the batch before. It comes back through the pool.
  if (!batch_.owner) memory_ = pool_->take();
  batch_.owner = memory_;
  batch_.memory = memory_->data();
  batch_.unsealed_records.clear();
  size_ = log::kBatchHeaderBytes;
  runs_.clear();
}

uint32_t BatchWriter::append(log::EntryHeader& header, Bytes extensions, Bytes payload) {
  header.extension_bytes = static_cast<uint32_t>(extensions.size());
  header.payload_bytes = static_cast<uint32_t>(payload.size());
  const uint64_t stored = header.stored_bytes();
  HEPTANE_ASSERT(size_ + stored <= log::kBatchLimitBytes, "a batch outgrew its limit");
  const auto offset = static_cast<uint32_t>(size_);
  std::byte* at = memory_->data() + offset;
  std::byte* end = at + stored;
  expect_writes(end);
  store_le<uint64_t>(end - 8, 0);  // padding, when there is any
  at += log::kEntryHeaderBytes;
  if (!extensions.empty()) std::memcpy(at, extensions.data(), extensions.size());
  if (!payload.empty()) std::memcpy(at + extensions.size(), payload.data(), payload.size());
  size_ += stored;
  return offset;
}

std::byte* BatchWriter::payload_at(uint32_t entry_offset, const log::EntryHeader& header) {
  return memory_->data() + entry_offset + log::kEntryHeaderBytes + header.extension_bytes;
}

void BatchWriter::extend(uint32_t entry_offset, log::EntryHeader& header, Bytes extensions) {
  HEPTANE_ASSERT(entry_offset + header.stored_bytes() == size_, "only the last entry can be extended");
  std::byte* payload = payload_at(entry_offset, header);
  header.extension_bytes += static_cast<uint32_t>(extensions.size());
  const size_t end = entry_offset + header.stored_bytes();
  HEPTANE_ASSERT(end <= log::kBatchLimitBytes, "a batch outgrew its limit");
  std::memmove(payload + extensions.size(), payload, header.payload_bytes);
  std::memcpy(payload, extensions.data(), extensions.size());
  std::byte* padding = payload + extensions.size() + header.payload_bytes;
  std::memset(padding, 0, static_cast<size_t>(memory_->data() + end - padding));
  size_ = end;
}

void BatchWriter::seal(uint32_t entry_offset, log::EntryHeader& header) {
  log::seal_entry(memory_->data() + entry_offset, header);
}

void BatchWriter::take_back(uint32_t entry_offset) { size_ = entry_offset; }

void BatchWriter::append_records(PartitionId partition, Bytes record_batch, uint32_t count, Bytes causes,
                                 const EntryRun& run) {
  ByteWriter extension;
  // A long extension: its length field says "to the end" (batch.h).
  extension.u8(static_cast<uint8_t>(log::ExtensionType::causes));
  extension.u8(0);
  extension.le<uint16_t>(0xFFFF);
  extension.append(causes);
  log::EntryHeader header;
  header.kind = log::EntryKind::records;
  header.machine = machine_ids::kStreams;
  header.partition = partition;
  header.detail = count;
  const uint32_t offset = append(header, extension.view(), record_batch);
  log::encode(header, memory_->data() + offset);
  batch_.unsealed_records.push_back(offset);
  EntryRun placed = run;
  placed.begin = offset;
  placed.finish = static_cast<uint32_t>(size_);
  runs_.push_back(placed);
}

void BatchWriter::release_pages() {
  constexpr size_t kKeptBytes = size_t{1} << 20;
  // Under load the same pages are needed again at once; only what is far larger than usual is given back.
  if (size_ > log::kBatchTargetBytes + kKeptBytes && batch_.owner) memory_->trim(kKeptBytes);
}

log::PendingBatch& BatchWriter::finish(const Hash128& effects_digest, uint16_t flags) {
  batch_.header.flags = flags;
  batch_.header.body_bytes = static_cast<uint32_t>(body_bytes());
  batch_.header.effects_digest = effects_digest;
  return batch_;
}

}  // namespace heptane
