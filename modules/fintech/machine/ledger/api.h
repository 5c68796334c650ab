// Commands and queries of the ledger machine. Payloads: who asks (Caller), then the body exactly as the client sent it:
// batches of events or filters (domain/ledger/multi_batch.h).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/shard/state_machine.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/domain/ledger/failed_event.h"
#include "modules/fintech/domain/ledger/operations.h"
#include "modules/fintech/domain/ledger/port.h"

namespace heptane::fintech {

static_assert(kLedgerMachineId == machine_ids::kFirstModule + 1);
constexpr size_t kClientSessions = 64;                                           // where the log does not say it
constexpr size_t kClientSessionsLimit = 1024;                                    // each may keep a reply of 128 KiB
constexpr std::string_view kClientSessionsKey = "fintech.tigerbeetle.sessions";  // logged configuration
constexpr uint32_t kExpireMax = 8189;                                            // pending transfers in one command

enum LedgerCommand : CommandType {
  kRegister = 1,  // payload Caller; reply numbers: session, timestamp. Refused: dropped
  kExpire = 2,    // the machine's own timer
  // Payload: encode(Asset). Reply numbers: ledger, scale. The same asset again changes nothing.
  kPutAsset = 3,
  // Payload: encode(vector<ScaledTransfer>). All are created, as one chain, or the command is refused and leaves nothing, not
  // even used-up ids: for transactions. Reply numbers: how many, the last one's timestamp. Refused: detail = the status.
  kTransferAll = 4,
  // As kTransferAll, of a program that knows of owners and reserved ids; the second one for somebody who may withdraw.
  kTransferAllOutside = 6,
  kTransferAllWithdrawing = 7,
  // As kCreateTransfers, of nothing but posts and voids (settles()): admitted where there is no room for new state. From
  // kLogicSettlements on, and where something of it is pending; else Errc::unsupported, and the sender says kCreateTransfers.
  kSettleTransfers = 8,
  // Payload Caller: its session is in use, though it only reads. From kLogicSettlements on. Refused: no_session
  kTouch = 9,
  // Payload: encode(BalanceGuard). Changes nothing; refused (Errc::refused) when the balance is not within the bounds.
  kGuardBalance = 5,
  kCreateAccounts = static_cast<CommandType>(Operation::create_accounts),
  kCreateTransfers = static_cast<CommandType>(Operation::create_transfers),
  // Reply payload: results as batches; numbers: commit, timestamp. A repeat of the client's last one is answered from
  // what is kept. Refused: LedgerRefusal. Of a caller without a session the numbers are brief_of() instead, from
  // kLogicBriefs on: they are kept for a repeat when the results are too long to be.
};

// Logic versions of the machine.
constexpr uint32_t kLogicBriefs = 2;
constexpr uint32_t kLogicKeptViews = 2;    // its views have no retention, whatever clients gave them
constexpr uint32_t kLogicSettlements = 3;  // it knows kSettleTransfers and kTouch
// What the port refuses is audited; a repeated settlement has its reply, though nothing of it is pending any more.
constexpr uint32_t kLogicPortAudit = 4;

// How many events there are up to the first that failed, negated, and its status; 0: none failed. A commit is above 0.
constexpr std::array<int64_t, 2> brief_of(const std::optional<FailedEvent>& failure) {
  if (!failure) return {0, 0};
  return {-static_cast<int64_t>(failure->index) - 1, static_cast<int64_t>(failure->status)};
}
constexpr bool is_brief(const std::array<int64_t, 2>& numbers) { return numbers[0] <= 0; }
constexpr std::optional<FailedEvent> failure_of(const std::array<int64_t, 2>& brief) {
  if (brief[0] == 0) return std::nullopt;
  return FailedEvent{static_cast<size_t>(-brief[0] - 1), static_cast<uint32_t>(brief[1])};
}

// Queries are the other Operations. Reply payload: results as batches; numbers: the last commit, timestamp.

constexpr bool is_transfer_all(CommandType type) {
  return type == kTransferAll || type == kTransferAllOutside || type == kTransferAllWithdrawing;
}
// The operation of the protocol that a command is; null: none.
constexpr const OperationRow* operation_of(CommandType type) {
  return find_operation(type == kSettleTransfers ? CommandType{kCreateTransfers} : type);
}
// Nothing but posts and voids, and at least one: the payload of a kCreateTransfers that kSettleTransfers may have, too.
bool settles(Bytes payload);
// Of Reply::detail of a refused kTransferAll...: the status is what somebody who may not touch something is told.
constexpr uint32_t kDeniedDetail = uint32_t{1} << 31;

// And those that the protocol does not have.
enum LedgerQuery : uint16_t {
  kQueryAssets = 200,     // reply payload: encode(vector<Asset>)
  kQueryStatement = 201,  // payload: StatementQuery; reply payload: StatementRows; not_found: no such account
  kQueryTotals = 202,     // reply payload: LedgerTotalsRow of every ledger
  // Payload: id of a transfer. Reply numbers: its place among all, from 0; how many there are. not_found
  kQueryTransferPlace = 204,
  // Counts a slice more; reply numbers: transfers counted, 1 when at the end; payload: RecountRow, before the end that of the
  // last one with how many transfers there are.
  kQueryRecount = 203,
  // Payload: Caller of a command that creates. Whether it was done before: the reply that it had then, or has as a refusal;
  // Errc::not_found: it has yet to be done. For one that was let in no more.
  kQueryStanding = 205,
};

// A transfer whose amount may be a decimal number of its ledger's asset.
struct ScaledTransfer {
  static constexpr uint8_t kRaw = 0xFF;
  Transfer transfer{};      // amount: the digits
  uint8_t decimals = kRaw;  // of them; kRaw: the amount is one already
};
Buffer encode(const std::vector<ScaledTransfer>& transfers);
Result<std::vector<ScaledTransfer>> decode_transfers(Bytes payload);

// What an account can spend: posted minus posted and pending of the other side.
struct BalanceGuard {
  static constexpr size_t kBytes = 56;
  Uint128 account_id = 0;
  bool debit_side = false;  // debits minus credits; else credits minus debits
  bool has_least = false;
  bool has_most = false;
  uint8_t least_decimals = ScaledTransfer::kRaw;
  uint8_t most_decimals = ScaledTransfer::kRaw;
  Uint128 least = 0;
  Uint128 most = 0;
};
Buffer encode(const BalanceGuard& guard);
Result<BalanceGuard> decode_guard(Bytes payload);

// An account's transfers, the newest first, each with what was posted behind it.
struct StatementQuery {
  Uint128 account_id = 0;
  Uint128 debits_posted = 0;  // what was posted at `before`, as the last page said
  Uint128 credits_posted = 0;
  uint64_t before = 0;  // timestamp; 0 = from the newest on
  uint32_t limit = 0;   // at most kStatementMax
  uint32_t reserved = 0;
};
constexpr uint32_t kStatementMax = 4096;
struct StatementRow {
  Transfer transfer{};
  Uint128 debits_posted = 0;
  Uint128 credits_posted = 0;
};
// Reply payload: the account, then the rows. Reply numbers: rows, 1 when there are more.

struct LedgerTotalsRow {
  uint32_t ledger = 0;
  uint32_t reserved = 0;
  uint64_t accounts = 0;
  Uint128 debits_pending = 0;
  Uint128 debits_posted = 0;
  Uint128 credits_pending = 0;
  Uint128 credits_posted = 0;
};

struct RecountRow {
  static constexpr size_t kNamedMost = 16;
  uint64_t number = 0;  // of the recount that came to its end last; 0: none has
  uint64_t transfers = 0;
  uint64_t accounts = 0;
  uint64_t differing_accounts = 0;
  uint64_t differing_ledgers = 0;
  uint64_t named = 0;
  std::array<Uint128, kNamedMost> differing{};
};
constexpr uint32_t kRecountSlice = 50'000;     // transfers and accounts of one query
constexpr uint32_t kRecountIdleSlice = 5'000;  // of one turn of the shard, also of a query's

// Reply::detail of a refusal. Up to 8 they are the protocol's reasons for an eviction.
enum class LedgerRefusal : uint32_t {
  no_session = 1,
  invalid_body = 5,
  session_too_low = 7,
  release_mismatch = 8,
  dropped = 100,  // an older request, or one that a client in order never sends: no answer
};

const char* ledger_refusal_text(LedgerRefusal why);

// Whoever wrote the command knew of owners and reserved ids: what the principal might do when it was let in. Older commands
// say neither, and mean what they did.
enum CallerRights : uint8_t { kKeepsRanges = 1, kMayWithdraw = 2 };
constexpr uint8_t rights_of(bool may_withdraw) {
  return static_cast<uint8_t>(kKeepsRanges | (may_withdraw ? kMayWithdraw : 0));
}
// `create` on it lets a principal debit accounts that belong to machines.
constexpr std::string_view kWithdrawResource = "withdraw";

struct Caller {
  static constexpr size_t kBytes = 48;
  static constexpr uint32_t kRightsShift = 30;  // in the release, which is below 2^30
  Uint128 client = 0;                           // 0: without a session (HTTP); then the rest is 0 as well
  Uint128 checksum = 0;
  uint64_t session = 0;  // 0 when it registers
  uint32_t request = 0;
  uint32_t release = 0;
  uint8_t rights = 0;

  void write(std::byte* at) const;
  static Caller read(const std::byte* at);
};

}  // namespace heptane::fintech
