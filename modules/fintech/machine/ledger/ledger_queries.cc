// Questions to the ledger machine that TigerBeetle's protocol does not have.
#include <algorithm>
#include <cstring>

#include "modules/fintech/machine/ledger/ledger_machine.h"
#include "modules/fintech/machine/ledger/row_bytes.h"

namespace heptane::fintech {

namespace {

void refuse(Reply& reply, Errc code, std::string message) {
  reply.error = code;
  reply.message = std::move(message);
}

}  // namespace

// One recount at a time, whoever asks; the answer is the same for all.
class LedgerMachine::RecountSlices final : public QueryInSlices {
 public:
  RecountSlices(const LedgerMachine& machine, bool may_wait) : machine_(machine), may_wait_(may_wait) {}

  Step step(Reply& reply) override {
    machine_.recount_damage_.clear();
    const Scanned scanned = machine_.recount_step(machine_.recount_, may_wait_);
    if (!machine_.recount_damage_.empty()) {
      refuse(reply, Errc::corrupt, machine_.recount_damage_);
      return Step::done;
    }
    if (scanned == Scanned::waits) return Step::waits;
    const bool done = scanned == Scanned::done;
    left_ -= kRecountIdleSlice;
    if (!done && left_ > 0) return Step::more;
    if (done) machine_.recount_ = Recount();
    RecountRow row = machine_.recounted_;
    if (!done) row.transfers = machine_.ledger_.transfers().size();
    reply.numbers = {done ? static_cast<int64_t>(row.transfers) : static_cast<int64_t>(machine_.recount_.counted()),
                     done ? 1 : 0};
    std::vector<std::byte> out;
    append_row(out, row);
    reply.payload = Buffer::take(std::move(out));
    return Step::done;
  }

 private:
  const LedgerMachine& machine_;
  const bool may_wait_;
  int64_t left_ = kRecountSlice;
};

// None: it may be asked.
std::optional<LedgerRefusal> LedgerMachine::refusal_of(const OperationRow& row, const Query& query) const {
  if (query.payload.size() < Caller::kBytes) return LedgerRefusal::invalid_body;
  const Judgement judgement = judge(Caller::read(query.payload.data()));
  if (judgement.standing == Standing::refused) return judgement.refusal;
  if (judgement.standing == Standing::repeat) return LedgerRefusal::dropped;
  if (!parse_body(row, query.payload.subspan(Caller::kBytes))) return LedgerRefusal::invalid_body;
  return std::nullopt;
}

// Null: query_now() answers it.
std::unique_ptr<QueryInSlices> LedgerMachine::slices_of(const Query& query, bool may_wait) const {
  if (query.type == kQueryRecount) return std::make_unique<RecountSlices>(*this, may_wait);
  if (query.type == kQueryStatement) {
    StatementQuery asked;
    if (query.payload.size() != sizeof asked) return nullptr;
    std::memcpy(&asked, query.payload.data(), sizeof asked);
    if (ledger_.find_account(asked.account_id) == nullptr) return nullptr;
    return make_statement_slices(ledger_, asked, may_wait);
  }
  if (query.type == kQueryTransferPlace) {
    Uint128 id = 0;
    if (query.payload.size() != sizeof id) return nullptr;
    std::memcpy(&id, query.payload.data(), sizeof id);
    return make_place_slices(ledger_, id, may_wait);
  }
  const OperationRow* row = find_operation(query.type);
  if (row == nullptr || row->creates || refusal_of(*row, query)) return nullptr;
  const bool owners = Caller::read(query.payload.data()).client == 0;
  const Bytes body = query.payload.subspan(Caller::kBytes);
  return make_operation_slices({ledger_, *row, own_.last_commit, body, owners}, may_wait);
}

// All of its slices, one after the other.
void LedgerMachine::query(const Query& query, Reply& reply) const {
  const std::unique_ptr<QueryInSlices> slices = slices_of(query, true);
  if (slices == nullptr) return query_now(query, reply);
  while (slices->step(reply) != QueryInSlices::Step::done) continue;
}

void LedgerMachine::query_now(const Query& query, Reply& reply) const {
  switch (query.type) {
    case kQueryAssets: reply.payload = encode(assets_.all()); return;
    case kQueryTotals: return totals(reply);
    case kQueryStanding: return standing_of(query, reply);
    case kQueryTransferPlace: return refuse(reply, Errc::invalid_argument, "an id has 16 bytes");
    case kQueryStatement: {
      StatementQuery asked;
      if (query.payload.size() != sizeof asked)
        return refuse(reply, Errc::invalid_argument, "a statement's query has another size");
      std::memcpy(&asked, query.payload.data(), sizeof asked);
      return refuse(reply, Errc::not_found, "there is no account " + number_text(asked.account_id));
    }
    default: break;
  }
  const OperationRow* row = find_operation(query.type);
  if (row == nullptr || row->creates) return refuse(reply, Errc::unsupported, "the ledger has no such query");
  if (const std::optional<LedgerRefusal> why = refusal_of(*row, query)) {
    refuse(reply, *why == LedgerRefusal::invalid_body ? Errc::invalid_argument : Errc::stale,
           ledger_refusal_text(*why));
    reply.detail = static_cast<uint32_t>(*why);
    return;
  }
  const Caller caller = Caller::read(query.payload.data());
  lookup_accounts(*parse_body(*row, query.payload.subspan(Caller::kBytes)), caller.client == 0, reply);
}

void LedgerMachine::standing_of(const Query& query, Reply& reply) const {
  if (query.payload.size() != Caller::kBytes) return refuse(reply, Errc::invalid_argument, "a caller has 48 bytes");
  const Caller caller = Caller::read(query.payload.data());
  const Judgement judgement = judge(caller);
  if (judgement.standing == Standing::fresh) return refuse(reply, Errc::not_found, "it has yet to be done");
  if (judgement.standing == Standing::refused) {
    refuse(reply, Errc::stale, ledger_refusal_text(judgement.refusal));
    reply.detail = static_cast<uint32_t>(judgement.refusal);
    return;
  }
  const ClientSession& known = *sessions_.find(caller.client);
  reply.payload = known.reply;
  reply.numbers = {static_cast<int64_t>(known.used), static_cast<int64_t>(known.timestamp)};
}

void LedgerMachine::lookup_accounts(const MultiBatch& batches, bool owners, Reply& reply) const {
  MultiBatchWriter writer(sizeof(Account));
  batches.visit([&](Bytes batch) {
    for (; !batch.empty(); batch = batch.subspan(sizeof(Uint128))) {
      const Account* found = ledger_.find_account(load_le<Uint128>(batch.data()));
      if (found == nullptr) continue;
      Account account = *found;
      if (!owners) account.reserved = 0;
      append_row(writer.out(), account);
    }
    writer.end_batch();
  });
  reply.payload = Buffer::take(writer.finish());
  reply.numbers = {static_cast<int64_t>(own_.last_commit),
                   static_cast<int64_t>(std::max<uint64_t>(1, ledger_.clock()))};
}

void LedgerMachine::totals(Reply& reply) const {
  std::vector<std::byte> out;
  for (const auto& [ledger, totals] : ledger_.totals().rows()) {
    if (totals.accounts == 0) continue;
    const Balances& sums = totals.balances;
    append_row(out, LedgerTotalsRow{ledger, 0, totals.accounts, sums.debits_pending, sums.debits_posted,
                                    sums.credits_pending, sums.credits_posted});
  }
  reply.payload = Buffer::take(std::move(out));
}

// What cannot be read costs the recount: it begins again when it is due or asked for.
Scanned LedgerMachine::recount_step(Recount& recount, bool may_wait) const {
  RecountReport report;
  const Scanned scanned = recount.step(ledger_, kRecountIdleSlice, may_wait, report);
  if (const std::optional<Error> damage = ledger_.take_damage()) {
    recount = Recount();
    recount_damage_ = damage->message;
    alarm_ = "a recount could not be made: " + damage->message;
    return Scanned::done;
  }
  if (scanned == Scanned::done) tell(report);
  return scanned;
}

void LedgerMachine::tell(const RecountReport& report) const {
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
  if (report.agrees()) return;
  alarm_ = "counted again from " + std::to_string(done.transfers) + " transfers, " +
           std::to_string(done.differing_accounts) + " accounts and the totals of " +
           std::to_string(done.differing_ledgers) + " ledgers are others";
  for (size_t i = 0; i < report.named.size(); ++i)
    *alarm_ += (i == 0 ? ": accounts " : ", ") + number_text(report.named[i]);
}

// The shard's own memory is counted, wherever the bodies of transfers lie, so nothing has to be copied or kept for it; and
// an account's number is compared with the one that answers are given from.
bool LedgerMachine::idle_work() {
  ledger_.settle();
  ledger_.stored_transfers().settle_runs();
  if (!recount_due_ || ledger_.in_scope()) return false;
  const Scanned scanned = recount_step(running_, false);
  files_.set_waits(scanned == Scanned::waits);
  recount_due_ = scanned != Scanned::done;
  return recount_due_;
}

}  // namespace heptane::fintech
