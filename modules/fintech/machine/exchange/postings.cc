#include "modules/fintech/machine/exchange/postings.h"

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/status_names.h"

namespace heptane::fintech::exchange {

namespace {

uint16_t flags_of(Purse purse) {
  if (purse == Purse::receivable) return account_flags::kCreditsMustNotExceedDebits;
  return purse == Purse::fees || purse == Purse::omnibus ? uint16_t{0} : account_flags::kDebitsMustNotExceedCredits;
}

}  // namespace

void expect_postings(const Ledger& ledger, uint64_t order, uint64_t trade) {
  constexpr uint32_t kCommonLegs = 4;
  ledger.prefetch_transfer(ledger.place_of_transfer(order_move_id(order, 0)));
  for (uint32_t leg = 0; leg < kCommonLegs; ++leg)
    ledger.prefetch_transfer(ledger.place_of_transfer(trade_leg_id(trade, leg)));
}

Uint128 balance(const LedgerPort& ledger, uint32_t account, uint32_t asset, Purse purse) {
  const Account* found = ledger.account(purse_id(account, asset, purse));
  return found == nullptr ? 0 : found->credits_posted - found->debits_posted;
}

Int128 fees_of(const LedgerPort& ledger, uint32_t asset) {
  return static_cast<Int128>(balance(ledger, kHouse, asset, Purse::fees));
}

Uint128 owed(const LedgerPort& ledger, uint32_t firm, uint32_t asset) {
  return -balance(ledger, firm, asset, Purse::receivable);
}

Int128 supply(const LedgerPort& ledger, uint32_t asset) {
  return -static_cast<Int128>(balance(ledger, kHouse, asset, Purse::omnibus));
}

Result<void> Chain::open_one(uint32_t account, uint32_t asset, Purse purse) {
  const Uint128 id = purse_id(account, asset, purse);
  if (const Account* there = ledger_.account(id)) {
    if (there->credits_posted < kTurnoverMax && there->debits_posted < kTurnoverMax) return {};
    return Error{Errc::refused,
                 "an account of ledger " + std::to_string(asset) + " has turned over 2^126: use another"};
  }
  Account opened{};
  opened.id = id;
  opened.ledger = asset;
  opened.user_data_64 = account;
  opened.code = static_cast<uint16_t>(kSealedCode | static_cast<uint16_t>(purse));
  opened.flags = flags_of(purse);
  const CreateResult result = ledger_.open_account(opened, call_);
  const auto status = static_cast<AccountStatus>(result.status);
  if (status == AccountStatus::created) return {};
  return Error{Errc::refused, "the ledger opens no account: " + std::string(heptane::fintech::status_name(status))};
}

Result<void> Chain::open(uint32_t account, uint32_t asset) {
  HEPTANE_TRY(open_one(account, asset, Purse::available));
  return open_one(account, asset, Purse::held);
}

Result<void> Chain::open_house(uint32_t asset) {
  HEPTANE_TRY(open_one(kHouse, asset, Purse::fees));
  return open_one(kHouse, asset, Purse::omnibus);
}

void Chain::move(Uint128 id, Purpose purpose, Uint128 debit, Uint128 credit, Uint128 amount, uint32_t asset, Tag tag) {
  if (amount == 0) return;
  HEPTANE_ASSERT(count_ < transfers_.size(), "a chain of more legs than there are");
  Transfer& t = transfers_[count_++];
  t = {};
  t.id = id;
  t.debit_account_id = debit;
  t.credit_account_id = credit;
  t.amount = amount;
  t.user_data_128 = tag.data;
  t.user_data_64 = tag.subject;
  t.user_data_32 = tag.instrument;
  t.ledger = asset;
  t.code = static_cast<uint16_t>(purpose);
}

std::optional<TransferStatus> Chain::post() {
  if (count_ == 0) return std::nullopt;
  for (const CreateResult& result : ledger_.chain({transfers_.data(), count_}, call_)) {
    const auto status = static_cast<TransferStatus>(result.status);
    if (status != TransferStatus::created && status != TransferStatus::linked_event_failed) return status;
  }
  return std::nullopt;
}

}  // namespace heptane::fintech::exchange
