// The last step before a batch leaves memory: entries and batch get their CRCs, the last block its zeros. Shared by the
// logs. Commit thread.
#pragma once

#include "kernel/log/log.h"

namespace heptane::log {

// What cannot happen: a batch that does not continue the log at `next` (a jump may leave a gap), or of another shard.
void check_follows(const BatchHeader& header, Sequence next, ShardId shard);
// Fills in what the commit leaves to the log: unsealed records, body CRC, header CRC, padding. The header's place, chain,
// log id and durable_upto must be set.
Result<void> seal_batch(PendingBatch& batch);

}  // namespace heptane::log
