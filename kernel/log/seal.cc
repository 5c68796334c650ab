#include "kernel/log/seal.h"

#include "kernel/base/crc32c.h"

namespace heptane::log {

void check_follows(const BatchHeader& header, Sequence next, ShardId shard) {
  HEPTANE_ASSERT(header.shard == shard, "a batch for another shard");
  if ((header.flags & kJumpFlag) != 0)
    HEPTANE_ASSERT(header.first_sequence > next, "a jump must leave a gap");
  else
    HEPTANE_ASSERT(header.first_sequence == next, "a batch must continue the log's sequence");
  HEPTANE_ASSERT(header.is_seal() == (header.command_count == 0), "an empty batch is a seal");
}

Result<void> seal_batch(PendingBatch& batch) {
  BatchHeader& header = batch.header;
  const size_t bytes = kBatchHeaderBytes + size_t{header.body_bytes};
  if (bytes > kBatchLimitBytes)
    return Error{Errc::too_large, "a batch of " + std::to_string(bytes) + " bytes is above the limit of " +
                                      std::to_string(kBatchLimitBytes)};
  for (const uint32_t offset : batch.unsealed_records) {
    HEPTANE_ASSERT(offset >= kBatchHeaderBytes && offset < bytes, "an unsealed entry outside its batch");
    HEPTANE_TRY(seal_records(batch.memory + offset, bytes - offset));
  }
  std::memset(batch.memory + bytes, 0, header.padded_bytes() - bytes);
  header.body_crc = crc32c({batch.memory + kBatchHeaderBytes, header.body_bytes});
  header.header_crc = encode(header, batch.memory);
  return {};
}

}  // namespace heptane::log
