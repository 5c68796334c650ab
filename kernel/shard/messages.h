// What travels between the I/O side and a shard. Requests go in through one bounded ring per I/O thread, replies come back
// through another in the order the shard made them; a reply waits at the I/O side until its gate is synced (invariant 1).
// Plain data; moved, never shared.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/bytes.h"
#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "kernel/log/batch.h"

namespace heptane {

using SessionId = uint64_t;  // unique for the life of the process; 0 = the kernel itself
using RequestId = uint64_t;  // chosen by the session, echoed in the reply

struct Principal {
  uint32_t id = 1;  // 1 = `local`: loopback without authentication, every role
  uint32_t version = 0;
};

// Scoped by principal and machine. The same id with another hash is an error.
struct IdempotencyKey {
  std::array<std::byte, 16> id{};
  uint64_t request_hash = 0;
};

// A command on its way to the log.
struct Submission {
  MachineId machine = 0;
  CommandType type = 0;
  // record_command: `payload` is a Kafka record batch (magic 2, CRC checked by the sender) for `partition`.
  log::EntryKind kind = log::EntryKind::command;
  PartitionId partition = kNoPartition;
  uint32_t payload_crc = 0;  // crc32c of the payload; of a record batch, the batch's own CRC
  Buffer payload;
  Principal principal;
  std::optional<IdempotencyKey> idempotency;
  std::optional<std::array<std::byte, 16>> trace_id;
  uint16_t listener = 0;        // origin, with the session and the receive time
  int64_t received_utc_ns = 0;  // 0 = the kernel's own command: no origin is logged
  Sequence cause = 0;           // the command that led to it, 0: something outside
  // Of its session, not logged: once one with this number is refused for now (`overloaded`, `no_space`), what comes behind it
  // with the same number is too, so that nothing overtakes what will be sent again. 0: it stands alone.
  uint32_t chain = 0;
};

// A question to a machine's state. Never logged.
struct QueryRequest {
  MachineId machine = 0;
  uint16_t type = 0;
  Buffer payload;
  Principal principal;
};

// Asks where records of a partition lie; answered from what is synced, so its gate is open.
struct ReadRequest {
  PartitionId partition = kNoPartition;
  Offset offset = 0;
  uint32_t max_bytes = 0;  // at least one record batch is returned whatever this says
  // Instead of `offset`: begin where the first record with a timestamp >= this is near: the answer's offset is at or
  // before it, the record within the first run. No such record: the answer's offset is the synced end.
  std::optional<int64_t> from_time_ms{};
};

// Consecutive entries of one partition inside one log batch.
struct Extent {
  uint32_t segment = 0;
  uint32_t begin = 0;  // byte range in the segment file that holds the entries (and perhaps others' between them)
  uint32_t end = 0;
};

// The answer to a command, a query or a read.
struct Reply {
  std::optional<Errc> error;         // none = done
  uint32_t detail = 0;               // the machine's own code for the refusal
  Sequence sequence = 0;             // of the command, 0 for queries and refusals
  LogTime time = 0;                  // log time of the command
  std::array<int64_t, 2> numbers{};  // small answers without an allocation; meaning per command
  Buffer payload;
  std::string message;    // for a person: what to do about the error
  bool repeated = false;  // the first result of an idempotent command, given again

  bool ok() const { return !error.has_value(); }
};

// The part of a read's reply that only reads have.
struct ReadReply {
  std::optional<Errc> error;  // not_found: no such partition; invalid_argument: offset out of range
  PartitionId partition = kNoPartition;
  Offset offset = 0;       // as asked for
  Offset log_start = 0;    // first offset still kept
  Offset durable_end = 0;  // one past the last synced offset: the high watermark
  Offset indexed = 0;      // first offset that the extents could cover: what lies below it is in the archive
  uint32_t max_bytes = 0;
  std::optional<int64_t> from_time_ms{};  // as asked for
  bool view = false;                      // its records are rendered
  std::vector<Extent> extents;
};

}  // namespace heptane
