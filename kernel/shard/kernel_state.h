// The kernel's own replicated state of a shard: timers, logged configuration, logic versions in force, first results of
// idempotent commands. Changed only by kept commands; saved first in every snapshot. The shard thread's.
#pragma once

#include <map>
#include <string>

#include "kernel/shard/effects.h"
#include "kernel/shard/idempotency.h"

namespace heptane {

// Commands of machine_ids::kKernel.
enum KernelCommand : CommandType {
  kFireTimer = 1,      // payload: u64 timer id. Becomes the armed command of the arming machine
  kSetConfig = 2,      // payload: key (u32 length, bytes), value (u32 length, bytes); an empty value removes the key
  kActivate = 3,       // payload: u16 machine, u32 logic version
  kTransact = 4,       // payload: operations with guards; see transact.h
  kDropTimer = 5,      // payload: u64 timer id. The timer is over without being applied: applying it ended the server
  kForgetResults = 6,  // no payload; reply numbers: how many. First results of every principal that are too old go:
                       // the kernel's own, when memory is short
  kPutOffTimer =
      7,  // payload: u64 timer id, i64 when it is due now. In place of kDropTimer, which older programs wrote
};

// Queries of machine_ids::kKernel.
enum KernelQuery : uint16_t {
  kVersions = 1,  // no payload; reply payload: the machines' logic versions (versions.h)
};

struct Timer {
  LogTime due = 0;
  MachineId machine = 0;
  CommandType type = 0;
  Sequence armed_by = 0;  // its cause
  std::string payload;
};

struct KernelState {
  std::map<std::pair<LogTime, TimerId>, MachineId> due;  // (due, id) in firing order
  std::map<TimerId, Timer> timers;
  uint64_t timer_payload_bytes = 0;
  TimerId next_timer = 1;
  std::map<std::string, std::string, std::less<>> config;
  std::map<MachineId, uint32_t> versions;
  IdempotencyTable idempotency;

  void arm(TimerId id, Timer timer);
  bool disarm(TimerId id);
  // The timer that should fire first, 0 when none is armed.
  TimerId first_due(LogTime& due_at) const;
  uint32_t version_of(MachineId machine) const;
  // Of what clients can make grow: timers and first results.
  uint64_t memory_bytes() const;

  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);
};

}  // namespace heptane
