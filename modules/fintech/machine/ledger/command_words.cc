#include "modules/fintech/machine/ledger/command_words.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "modules/fintech/machine/ledger/api.h"
#include "modules/fintech/machine/ledger/assets.h"

namespace heptane::fintech {

namespace {

constexpr size_t kEventsTold = 8;  // of a command

std::string counted(size_t count, const char* what) {
  return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

// TigerBeetle's clients are numbers; over HTTP there is none.
std::string told_caller(const Caller& caller) {
  if (caller.client == 0) return "";
  return "client " + number_text(caller.client) +
         (caller.request == 0 ? "" : ", request " + std::to_string(caller.request)) + ": ";
}

std::string told(const Account& account) {
  return "account " + number_text(account.id) + " in ledger " + std::to_string(account.ledger);
}

std::string told_amount(Uint128 amount, uint8_t decimals) {
  return decimals == ScaledTransfer::kRaw || decimals > kScaleMax ? number_text(amount) : amount_text(amount, decimals);
}

std::string told(const Transfer& transfer, uint8_t decimals = ScaledTransfer::kRaw) {
  const std::string id = "transfer " + number_text(transfer.id);
  const std::string amount = told_amount(transfer.amount, decimals);
  if (transfer.has(transfer_flags::kVoid)) return id + " voids " + number_text(transfer.pending_id);
  if (transfer.has(transfer_flags::kPost))
    return id + " posts " + (transfer.amount == kUint128Max ? "all" : amount) + " of " +
           number_text(transfer.pending_id);
  return id + (transfer.has(transfer_flags::kPending) ? " holds " : " moves ") + amount + " from " +
         number_text(transfer.debit_account_id) + " to " + number_text(transfer.credit_account_id) + " in ledger " +
         std::to_string(transfer.ledger);
}

std::string listed(size_t events, const char* what, std::vector<std::string> first) {
  std::string text = counted(events, what);
  for (const std::string& each : first) text += (&each == &first.front() ? ": " : "; ") + each;
  if (events > first.size()) text += "; and " + std::to_string(events - first.size()) + " more";
  return text;
}

template <class Row>
std::string told_events(Bytes payload, Operation operation, const char* what) {
  if (payload.size() < Caller::kBytes) return "";
  const Bytes body = payload.subspan(Caller::kBytes);
  const std::optional<MultiBatch> batches = parse_body(*find_operation(static_cast<uint32_t>(operation)), body);
  if (!batches) return "";
  std::vector<std::string> first;
  for (size_t i = 0; i < std::min(batches->elements(), kEventsTold); ++i) {
    Row row;
    std::memcpy(&row, body.data() + i * sizeof row, sizeof row);
    first.push_back(told(row));
  }
  return told_caller(Caller::read(payload.data())) + listed(batches->elements(), what, std::move(first));
}

std::string told_accounts(Bytes payload) {
  return told_events<Account>(payload, Operation::create_accounts, "account");
}
std::string told_transfers(Bytes payload) {
  return told_events<Transfer>(payload, Operation::create_transfers, "transfer");
}

std::string told_chain(Bytes payload) {
  const auto chain = decode_transfers(payload);
  if (!chain) return "";
  std::vector<std::string> first;
  for (size_t i = 0; i < std::min(chain->size(), kEventsTold); ++i)
    first.push_back(told((*chain)[i].transfer, (*chain)[i].decimals));
  return listed(chain->size(), "transfer", std::move(first));
}

std::string told_client(Bytes payload) {
  return payload.size() < Caller::kBytes ? "" : "client " + number_text(Caller::read(payload.data()).client);
}

std::string told_asset(Bytes payload) {
  const Result<Asset> asset = decode_asset(payload);
  if (!asset) return "";
  return asset->code + " is ledger " + std::to_string(asset->ledger) + " with " + counted(asset->scale, "decimal");
}

std::string told_guard(Bytes payload) {
  const Result<BalanceGuard> guard = decode_guard(payload);
  if (!guard) return "";
  std::string text =
      "account " + number_text(guard->account_id) + ", " + (guard->debit_side ? "debit" : "credit") + " balance";
  if (guard->has_least) text += " at least " + told_amount(guard->least, guard->least_decimals);
  if (guard->has_most) text += " at most " + told_amount(guard->most, guard->most_decimals);
  return text;
}

constexpr auto kWords = std::to_array<CommandWords>({
    {kLedgerMachineId, kRegister, "a client of TigerBeetle's protocol registers", told_client},
    {kLedgerMachineId, kTouch, "a client of TigerBeetle's protocol reads", told_client},
    {kLedgerMachineId, kExpire, "time-outs of pending transfers", nullptr},
    {kLedgerMachineId, kPutAsset, "name an asset", told_asset},
    {kLedgerMachineId, kTransferAll, "create transfers, all or none", told_chain},
    {kLedgerMachineId, kTransferAllOutside, "create transfers, all or none", told_chain},
    {kLedgerMachineId, kTransferAllWithdrawing, "create transfers, all or none, with the right to withdraw",
     told_chain},
    {kLedgerMachineId, kSettleTransfers, "post and void", told_transfers},
    {kLedgerMachineId, kGuardBalance, "a guard on a balance", told_guard},
    {kLedgerMachineId, kCreateAccounts, "create accounts", told_accounts},
    {kLedgerMachineId, kCreateTransfers, "create transfers", told_transfers},
});

}  // namespace

std::span<const CommandWords> ledger_words() { return kWords; }

}  // namespace heptane::fintech
