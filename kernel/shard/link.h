// The bounded rings between one I/O thread and one shard.
//
// Requests go in through one ring. Replies come back through two: `gated` in the order of their gates (popped while
// gate <= watermark: invariant 1) and `open` for what was computed from synced state alone. The I/O side counts its
// unanswered requests and never has more than the reply rings hold, so the shard never waits and never drops.
// Single producer, single consumer each; the watermark is the commit's to move.
#pragma once

#include <atomic>
#include <functional>
#include <variant>

#include "kernel/base/spsc_ring.h"
#include "kernel/shard/messages.h"

namespace heptane {

struct SubscribeRequest {
  uint64_t subscription = 0;  // unique on this link
  PartitionId partition = kNoPartition;
  Offset from = 0;
};
struct UnsubscribeRequest {
  uint64_t subscription = 0;
};

struct ShardRequest {
  SessionId session = 0;
  RequestId request = 0;
  std::variant<Submission, QueryRequest, ReadRequest, SubscribeRequest, UnsubscribeRequest> body;
};

// Sent once; the subscription is then over.
struct Advanced {
  uint64_t subscription = 0;
  Offset durable_end = 0;
};

struct ShardReply {
  Sequence gate = 0;
  SessionId session = 0;
  RequestId request = 0;
  std::variant<Reply, ReadReply, Advanced> body;
};

struct ShardLink {
  explicit ShardLink(size_t capacity) : requests(capacity), gated(capacity), open(2 * capacity) {}

  SpscRing<ShardRequest> requests;
  SpscRing<ShardReply> gated;
  SpscRing<ShardReply> open;
  std::atomic<uint64_t> request_bytes{0};  // payloads of commands in `requests`; the I/O side adds, the shard subtracts
  std::atomic<Sequence> watermark{0};      // highest sequence known synced
  std::function<void()> wake_shard;        // after pushing requests
  std::function<void()> wake_io;           // after pushing replies or moving the watermark
};

}  // namespace heptane
