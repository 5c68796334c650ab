// Commands and queries of the ledger machine. Payloads: who asks (Caller), then the body exactly as the client sent it:
// batches of events or filters (domain/ledger/multi_batch.h).
#pragma once

#include <cstdint>

#include "kernel/shard/state_machine.h"
#include "modules/fintech/domain/ledger/operations.h"

namespace heptane::fintech {

constexpr MachineId kLedgerMachineId = machine_ids::kFirstModule + 1;
constexpr size_t kClientSessionsMax = 64;
constexpr uint32_t kExpireMax = 8189;  // pending transfers in one command

enum LedgerCommand : CommandType {
  kRegister = 1,  // payload Caller; reply numbers: session, timestamp. Refused: dropped
  kExpire = 2,    // the machine's own timer
  kCreateAccounts = static_cast<CommandType>(Operation::create_accounts),
  kCreateTransfers = static_cast<CommandType>(Operation::create_transfers),
  // Reply payload: results as batches; numbers: commit, timestamp. A repeat of the client's last one is answered from
  // what is kept. Refused: LedgerRefusal.
};

// Queries are the other Operations. Reply payload: results as batches; numbers: the last commit, timestamp.

// Reply::detail of a refusal. Up to 8 they are the protocol's reasons for an eviction.
enum class LedgerRefusal : uint32_t {
  no_session = 1,
  invalid_body = 5,
  session_too_low = 7,
  release_mismatch = 8,
  dropped = 100,  // an older request, or one that a client in order never sends: no answer
};

struct Caller {
  static constexpr size_t kBytes = 48;
  Uint128 client = 0;  // 0: without a session (HTTP); then the rest is 0 as well
  Uint128 checksum = 0;
  uint64_t session = 0;  // 0 when it registers
  uint32_t request = 0;
  uint32_t release = 0;

  void write(std::byte* at) const;
  static Caller read(const std::byte* at);
};

}  // namespace heptane::fintech
