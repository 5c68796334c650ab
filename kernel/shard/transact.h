// Several operations for several machines in one command: all happen or none (invariant 7). A guard is an operation that
// changes nothing and refuses when its condition does not hold. Payload: u16 count; then per operation u16 machine,
// u16 type, u32 partition, u32 length, bytes. Reply: numbers[0] = operations done; payload = two i64 per operation.
#pragma once

#include <vector>

#include "kernel/shard/command_run.h"

namespace heptane {

constexpr uint32_t kTransactOperationsLimit = 1024;

struct Operation {
  MachineId machine = 0;
  CommandType type = 0;
  PartitionId partition = kNoPartition;
  Bytes payload;
};

Buffer encode_transact(const std::vector<Operation>& operations);
Result<std::vector<Operation>> decode_transact(Bytes payload);

// Runs the operations inside one scope of `run`. A refusal rolls all back; the reply's message names the operation and
// numbers[0] is its index; numbers[1] = 1 tells it from a refusal before any operation ran.
void apply_transact(const Command& command, MachineTable& machines, CommandRun& run);

}  // namespace heptane
