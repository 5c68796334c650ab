// Commands of the ledger machine that TigerBeetle's protocol does not have: assets, and what a transaction may hold.
#include <cstring>

#include "modules/fintech/domain/ledger/status_names.h"
#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

void LedgerMachine::apply_asset(const Command& command, Effects& effects) {
  const Result<Asset> asset = decode_asset(command.payload);
  if (!asset) return effects.refuse(asset.error().code, 0, asset.error().message);
  const auto ledger = static_cast<int64_t>(asset->ledger);
  switch (assets_.put(*asset)) {
    case Assets::Outcome::added: return effects.reply(ledger, asset->scale);
    case Assets::Outcome::unchanged: return effects.unchanged(ledger, asset->scale);
    case Assets::Outcome::taken:
      return effects.refuse(Errc::exists, 0,
                            "the ledger or the code belongs to another asset: assets are named once and for all");
    case Assets::Outcome::full: return effects.refuse(Errc::too_large, 0, "there are 4096 assets");
  }
}

Result<Uint128> LedgerMachine::amount_of(const Decimal& decimal, uint32_t ledger) const {
  if (decimal.decimals == ScaledTransfer::kRaw) return decimal.digits;
  const Asset* asset = assets_.find(ledger);
  if (asset == nullptr)
    return Error{Errc::invalid_argument, "ledger " + std::to_string(ledger) +
                                             " has no asset: register it, or say the amount in its smallest units"};
  if (const std::optional<Uint128> amount = scaled(decimal, asset->scale)) return *amount;
  return Error{Errc::invalid_argument,
               "an amount of " + asset->code + " has at most " + std::to_string(asset->scale) + " decimals"};
}

void LedgerMachine::apply_transfer_all(const Command& command, Effects& effects) {
  Result<std::vector<ScaledTransfer>> asked = decode_transfers(command.payload);
  if (!asked) return effects.refuse(asked.error().code, 0, asked.error().message);
  std::vector<Transfer> chain;
  chain.reserve(asked->size());
  std::vector<Transfer> sent;
  sent.reserve(asked->size());
  for (ScaledTransfer& each : *asked) {
    const Result<Uint128> amount = amount_of({each.transfer.amount, each.decimals}, each.transfer.ledger);
    if (!amount)
      return effects.refuse(amount.error().code, 0,
                            "transfers[" + std::to_string(chain.size()) + "]: " + amount.error().message);
    const bool last = &each == &asked->back();
    each.transfer.flags &= static_cast<uint16_t>(~transfer_flags::kLinked);
    if (!last) each.transfer.flags |= transfer_flags::kLinked;
    sent.push_back(each.transfer);
    chain.push_back(each.transfer);
    chain.back().amount = *amount;
  }

  ledger_.act_as({0, command.type == kTransferAllWithdrawing, command.type != kTransferAll});
  effects.open_scope();
  results_.clear();
  const Bytes events{reinterpret_cast<const std::byte*>(chain.data()), chain.size() * sizeof(Transfer)};
  ledger_.create_transfers(ledger_.advance(ledger_time(command.time), chain.size()), events, results_);
  for (size_t i = 0; i < results_.size(); ++i) {
    const auto status = static_cast<TransferStatus>(results_[i].status);
    if (status == TransferStatus::created || status == TransferStatus::linked_event_failed) continue;
    effects.close_scope(ScopeOutcome::roll_back);
    return effects.refuse(Errc::refused, results_[i].status | (ledger_.denials().any() ? kDeniedDetail : 0),
                          "transfers[" + std::to_string(i) + "]: " + std::string(status_name(status)));
  }
  effects.close_scope(ScopeOutcome::keep);
  own_.last_commit = command.sequence;
  rearm(command.time, effects);
  note_.begin_chain(ledger_.clock() - chain.size() + 1, chain.size());
  note_.add_chain(sent, ledger_);
  if (!tell(command.sequence, effects)) return;
  effects.reply(static_cast<int64_t>(chain.size()), static_cast<int64_t>(results_.back().timestamp));
}

void LedgerMachine::apply_guard(const Command& command, Effects& effects) {
  const Result<BalanceGuard> guard = decode_guard(command.payload);
  if (!guard) return effects.refuse(guard.error().code, 0, guard.error().message);
  const Account* account = ledger_.find_account(guard->account_id);
  if (account == nullptr)
    return effects.refuse(Errc::not_found, 0, "there is no account " + number_text(guard->account_id));
  const Result<Uint128> least = amount_of({guard->least, guard->least_decimals}, account->ledger);
  const Result<Uint128> most = amount_of({guard->most, guard->most_decimals}, account->ledger);
  if (!least || !most) {
    const Error& error = least ? most.error() : least.error();
    return effects.refuse(error.code, 0, error.message);
  }
  // No sum of both columns of a side overflows: a check of transfers.
  const Uint128 has = guard->debit_side ? account->debits_posted : account->credits_posted;
  const Uint128 spent = guard->debit_side ? account->credits_posted + account->credits_pending
                                          : account->debits_posted + account->debits_pending;
  const bool negative = has < spent;
  const bool enough = !guard->has_least || (!negative && has - spent >= *least);
  const bool within = !guard->has_most || negative || has - spent <= *most;
  if (enough && within) return effects.unchanged(0);
  const Asset* asset = assets_.find(account->ledger);
  const Uint128 balance = negative ? spent - has : has - spent;
  effects.refuse(
      Errc::refused, 0,
      "the balance of account " + number_text(guard->account_id) + " is " + (negative ? "-" : "") +
          (asset == nullptr ? number_text(balance) : amount_text(balance, asset->scale) + ' ' + asset->code) + ", " +
          (enough ? "above the most" : "below the least") + " that the guard allows");
}

}  // namespace heptane::fintech
