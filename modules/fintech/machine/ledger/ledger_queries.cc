// Questions to the ledger machine that TigerBeetle's protocol does not have.
#include <algorithm>
#include <cstring>

#include "modules/fintech/machine/ledger/ledger_machine.h"

namespace heptane::fintech {

namespace {

template <class Row>
void append(std::vector<std::byte>& out, const Row& row) {
  static_assert(std::is_trivially_copyable_v<Row>);
  const auto* bytes = reinterpret_cast<const std::byte*>(&row);
  out.insert(out.end(), bytes, bytes + sizeof row);
}

void refuse(Reply& reply, Errc code, std::string message) {
  reply.error = code;
  reply.message = std::move(message);
}

}  // namespace

bool LedgerMachine::query_more(const Query& query, Reply& reply) const {
  switch (query.type) {
    case kQueryAssets: reply.payload = encode(assets_.all()); return true;
    case kQueryStatement: statement(query, reply); return true;
    case kQueryTotals: totals(reply); return true;
    case kQueryTransferPlace: transfer_place(query, reply); return true;
    case kQueryRecount: recount_more(reply); return true;
    default: return false;
  }
}

// A file that cannot be read costs the answer; what it would have been nobody knows.
void LedgerMachine::refuse_if_unreadable(Reply& reply) const {
  const std::optional<Error> damage = ledger_.take_damage();
  if (!damage) return;
  reply = Reply{};
  refuse(reply, damage->code, damage->message);
}

// Walks back from what is posted now, or was where the last page ended. Only posting moves what is posted: pending and
// voiding transfers stand in the statement and change nothing.
void LedgerMachine::statement(const Query& query, Reply& reply) const {
  StatementQuery asked;
  if (query.payload.size() != sizeof asked)
    return refuse(reply, Errc::invalid_argument, "a statement's query has another size");
  std::memcpy(&asked, query.payload.data(), sizeof asked);
  const Account* account = ledger_.find_account(asked.account_id);
  if (account == nullptr) return refuse(reply, Errc::not_found, "there is no account " + number_text(asked.account_id));
  const uint32_t limit = std::clamp<uint32_t>(asked.limit, 1, kStatementMax);
  AccountFilter filter{};
  filter.account_id = asked.account_id;
  filter.timestamp_max = asked.before == 0 ? 0 : asked.before - 1;
  filter.limit = limit + 1;
  filter.flags = filter_flags::kDebits | filter_flags::kCredits | filter_flags::kReversed;
  std::vector<Transfer> transfers;
  if (asked.before != 1) ledger_.account_transfers(filter, limit + 1, transfers);
  const bool more = transfers.size() > limit;
  if (more) transfers.pop_back();

  std::vector<std::byte> out;
  out.reserve(sizeof(Account) + transfers.size() * sizeof(StatementRow));
  append(out, *account);
  StatementRow row;
  row.debits_posted = asked.before == 0 ? account->debits_posted : asked.debits_posted;
  row.credits_posted = asked.before == 0 ? account->credits_posted : asked.credits_posted;
  for (const Transfer& transfer : transfers) {
    row.transfer = transfer;
    append(out, row);
    if (transfer.has(transfer_flags::kPending | transfer_flags::kVoid)) continue;
    (transfer.debit_account_id == asked.account_id ? row.debits_posted : row.credits_posted) -= transfer.amount;
  }
  reply.payload = Buffer::take(std::move(out));
  reply.numbers = {static_cast<int64_t>(transfers.size()), more ? 1 : 0};
}

void LedgerMachine::transfer_place(const Query& query, Reply& reply) const {
  Uint128 id = 0;
  if (query.payload.size() != sizeof id) return refuse(reply, Errc::invalid_argument, "an id has 16 bytes");
  std::memcpy(&id, query.payload.data(), sizeof id);
  Transfer found;
  if (!ledger_.find_transfer(id, found))
    return refuse(reply, Errc::not_found, "there is no transfer " + number_text(id));
  reply.numbers = {ledger_.number_of_transfer(id), ledger_.transfers().size()};
}

void LedgerMachine::totals(Reply& reply) const {
  std::vector<std::byte> out;
  for (const auto& [ledger, totals] : ledger_.totals().rows()) {
    if (totals.accounts == 0) continue;
    const Balances& sums = totals.balances;
    append(out, LedgerTotalsRow{ledger, 0, totals.accounts, sums.debits_pending, sums.debits_posted,
                                sums.credits_pending, sums.credits_posted});
  }
  reply.payload = Buffer::take(std::move(out));
}

// What cannot be read costs the recount: it begins again when it is due or asked for.
bool LedgerMachine::recount_step(Recount& recount, uint32_t work) const {
  RecountReport report;
  const bool at_end = recount.step(ledger_, work, report);
  if (const std::optional<Error> damage = ledger_.take_damage()) {
    recount = Recount();
    recount_damage_ = damage->message;
    alarm_ = "a recount could not be made: " + damage->message;
    return true;
  }
  if (!at_end) return false;
  RecountRow done;
  done.number = recounted_.number + 1;
  done.transfers = report.transfers;
  done.accounts = report.accounts;
  done.differing_accounts = report.differing_accounts;
  done.differing_ledgers = report.differing_ledgers;
  done.named = report.named.size();
  std::copy(report.named.begin(), report.named.end(), done.differing.begin());
  recounted_ = done;
  recounts_total_.fetch_add(1, std::memory_order_relaxed);
  recount_differences_.store(done.differing_accounts + done.differing_ledgers, std::memory_order_relaxed);
  if (report.agrees()) return true;
  alarm_ = "counted again from " + std::to_string(done.transfers) + " transfers, " +
           std::to_string(done.differing_accounts) + " accounts and the totals of " +
           std::to_string(done.differing_ledgers) + " ledgers are others";
  for (size_t i = 0; i < report.named.size(); ++i)
    *alarm_ += (i == 0 ? ": accounts " : ", ") + number_text(report.named[i]);
  return true;
}

// The shard's own memory is counted, wherever the bodies of transfers lie, so nothing has to be copied or kept for it; and
// an account's number is compared with the one that answers are given from.
bool LedgerMachine::idle_work() {
  ledger_.settle();
  if (!recount_due_ || ledger_.in_scope()) return false;
  recount_due_ = !recount_step(running_, kRecountIdleSlice);
  return recount_due_;
}

// One at a time, whoever asks; the answer is the same for all.
void LedgerMachine::recount_more(Reply& reply) const {
  recount_damage_.clear();
  const bool done = recount_step(recount_, kRecountSlice);
  if (!recount_damage_.empty()) return refuse(reply, Errc::corrupt, recount_damage_);
  if (done) recount_ = Recount();
  reply.numbers = {done ? static_cast<int64_t>(recounted_.transfers) : static_cast<int64_t>(recount_.counted()),
                   done ? 1 : 0};
  std::vector<std::byte> out;
  append(out, recounted_);
  reply.payload = Buffer::take(std::move(out));
}

}  // namespace heptane::fintech
