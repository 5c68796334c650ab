// The ledger's port for other machines, and what becomes of refusals to those outside.
#include "kernel/base/assert.h"
#include "kernel/shard/audit_port.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

namespace {

constexpr size_t kAuditBytesMax = size_t{3} * 1024;  // of three events

Bytes bytes_of(std::span<const Transfer> transfers) {
  return {reinterpret_cast<const std::byte*>(transfers.data()), transfers.size_bytes()};
}

}  // namespace

CreateResult LedgerMachine::open_account(const Account& account, const PortCall& call) {
  const Effects::Turn turn(call.effects, kLedgerMachineId);
  call.effects.enlist(kLedgerMachineId);
  ledger_.act_as({call.command.machine, false, true});
  Account single = account;
  single.flags &= static_cast<uint16_t>(~account_flags::kLinked);
  std::vector<CreateResult> results;
  ledger_.create_accounts(ledger_.advance(ledger_time(call.command.time), 1),
                          {reinterpret_cast<const std::byte*>(&single), sizeof single}, results);
  files_.end_if_unreadable();
  if (!audit_port(call) || results[0].status != static_cast<uint32_t>(AccountStatus::created)) return results[0];
  own_.last_commit = call.command.sequence;
  note_.begin_port(NoteForm::port_accounts);
  note_.add_port(*ledger_.find_account(account.id));
  tell(call.command.sequence, call.effects);
  return results[0];
}

std::optional<Transfer> LedgerMachine::find_transfer(Uint128 id) const {
  Transfer found{};
  const bool there = ledger_.find_transfer(id, found);
  files_.end_if_unreadable();
  return there ? std::optional(found) : std::nullopt;
}

TransferStatus LedgerMachine::check(const Transfer& transfer, const PortCall& call) {
  ledger_.open_scope();
  const CreateResult result = move({&transfer, 1}, call)[0];
  ledger_.close_scope(false);
  return static_cast<TransferStatus>(result.status);
}

CreateResult LedgerMachine::transfer(const Transfer& transfer, const PortCall& call) {
  return chain({&transfer, 1}, call)[0];
}

std::vector<CreateResult> LedgerMachine::chain(std::span<const Transfer> transfers, const PortCall& call) {
  if (transfers.empty()) return {};
  const Effects::Turn turn(call.effects, kLedgerMachineId);
  call.effects.enlist(kLedgerMachineId);
  std::vector<CreateResult> results = move(transfers, call);
  if (!audit_port(call)) return results;
  note_.begin_port(NoteForm::port_transfers);
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i].status == static_cast<uint32_t>(TransferStatus::created))
      note_.add_port(linked_[i], results[i], ledger_);
  if (note_.transfers() == 0) return results;
  own_.last_commit = call.command.sequence;
  rearm(call.command.time, call.effects);
  tell(call.command.sequence, call.effects);
  return results;
}

std::vector<CreateResult> LedgerMachine::move(std::span<const Transfer> transfers, const PortCall& call) {
  ledger_.act_as({call.command.machine, false, true});
  ledger_.expect_transfers(bytes_of(transfers));
  linked_.assign(transfers.begin(), transfers.end());
  for (Transfer& transfer : linked_) transfer.flags |= transfer_flags::kLinked;
  linked_.back().flags &= static_cast<uint16_t>(~transfer_flags::kLinked);
  std::vector<CreateResult> results;
  results.reserve(linked_.size());
  ledger_.create_transfers(ledger_.advance(ledger_time(call.command.time), linked_.size()), bytes_of(linked_), results);
  files_.end_if_unreadable();
  return results;
}

// One event for each kind of refusal in a command, however many events it has; `told` has a bit for those that are there.
// False: a transaction makes more records than one command may, and is refused whole.
bool LedgerMachine::audit(const Command& command, Effects& effects, uint8_t& told) {
  const Denials& denials = ledger_.denials();
  if (!denials.any()) return true;
  if (!effects.room_for(3, kAuditBytesMax)) {
    effects.refuse(Errc::invalid_argument, static_cast<uint32_t>(LedgerRefusal::invalid_body),
                   "one transaction makes at most 65,536 records");
    return false;
  }
  auto* users = dynamic_cast<AuditPort*>(&effects.enlist(machine_ids::kAuth));
  HEPTANE_ASSERT(users != nullptr, "the machine of users keeps the audit trail");
  const auto say = [&](uint8_t kind, const Denials::Row& row, const char* on, const char* what) {
    if (row.count == 0 || (told & kind) != 0) return;
    told |= kind;
    std::string detail = what + number_text(row.account);
    if (row.event != row.account) detail += ", transfer " + number_text(row.event);
    if (command.machine != kLedgerMachineId) detail += ", asked by machine " + std::to_string(command.machine);
    users->audit_denied(command, on, detail, row.count, effects);
  };
  say(1, denials.withdraw, "ledger:withdraw create", "account or pending transfer ");
  say(2, denials.owned, "ledger:owned alter", "account or pending transfer ");
  say(4, denials.reserved, "ledger:reserved create", "id ");
  return true;
}

// What another machine was refused, once for all of its calls in a command. What it takes back, it may be told of again.
bool LedgerMachine::audit_port(const PortCall& call) {
  if (call.effects.version() < kLogicPortAudit) return true;
  if (own_.told_in != call.command.sequence) own_.told = 0;
  own_.told_in = call.command.sequence;
  return audit(call.command, call.effects, own_.told);
}

}  // namespace heptane::fintech
