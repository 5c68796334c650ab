// How a command that ended the server is known again (ApplyGuard).
#pragma once

#include "kernel/base/hash128.h"
#include "kernel/shard/effects.h"
#include "kernel/shard/messages.h"

namespace heptane {

// Never 0, which stands for none.
inline uint64_t command_digest(const Submission& submission) {
  DigestAccumulator digest;
  digest.add((uint64_t{submission.machine} << 32) | submission.type,
             (uint64_t{submission.payload_crc} << 32) | submission.payload.size());
  const uint64_t low = digest.value().low;
  return low == 0 ? 1 : low;
}

}  // namespace heptane
