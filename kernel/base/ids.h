// The numbers everything is named by. Sequences start at 1 (0 = nothing), offsets at 0, event ordinals at 1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace heptane {

using Sequence = uint64_t;     // of a command, per shard
using Epoch = uint32_t;        // counts starts of the shard; also the Kafka leader epoch
using ShardId = uint16_t;      //
using MachineId = uint16_t;    // names a state machine for ever; see kernel/shard/state_machine.h
using CommandType = uint16_t;  // the machine's own
using PartitionId = uint32_t;  // one partition of one stream, unique in its shard for ever; 0 = none
using Offset = int64_t;        // counts the records of a partition
using Ordinal = uint32_t;      // of an event within its command
using LogTime = int64_t;       // nanoseconds UTC, stamped by the shard, never goes back
using LogId = std::array<std::byte, 16>;

constexpr Sequence kNoSequence = 0;
constexpr PartitionId kNoPartition = 0;

// `0:123456`, or `0:123456/3` for an event.
std::string position_text(ShardId shard, Sequence sequence, Ordinal ordinal = 0);
std::string log_id_text(const LogId& id);  // 32 hexadecimal digits

}  // namespace heptane
