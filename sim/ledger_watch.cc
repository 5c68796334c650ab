#include "sim/ledger_watch.h"

#include <algorithm>
#include <cstring>

#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/domain/ledger/recount.h"

namespace heptane::sim {

namespace {

using namespace fintech;

constexpr Sequence kBehindMost = 60;  // commands; a snapshot and what it lets go of are further apart

template <class Row>
std::vector<Row> rows_of(Bytes batch) {
  std::vector<Row> rows(batch.size() / sizeof(Row));
  std::memcpy(rows.data(), batch.data(), rows.size() * sizeof(Row));
  return rows;
}

template <class Row>
bool same_bytes(const Row& a, const Row& b) {
  return std::memcmp(&a, &b, sizeof a) == 0;
}

std::string balances_text(const Account& a) {
  return number_text(a.debits_pending) + "+" + number_text(a.debits_posted) + " debits, " +
         number_text(a.credits_pending) + "+" + number_text(a.credits_posted) + " credits, flags " +
         std::to_string(a.flags);
}

}  // namespace

void LedgerWatch::follow(server::Server& server, const LedgerMachine& ledger, Checker& checker) {
  if (!server.recovered()) return;
  if (ledger.recount_differences() != 0) return checker.fail("a recount of the ledger found differences");
  if (blind_) return;
  const Sequence durable = server.committer().watermark();
  if (durable >= read_ + kBehindMost) (void)read(server, durable);  // what a fault hides is read behind the next start
}

Result<void> LedgerWatch::read(server::Server& server, Sequence upto) {
  const Result<void> done =
      server.log().read(read_ + 1, upto, [&](const log::BatchView& batch, const log::BatchPlace&) -> Result<void> {
        HEPTANE_TRY(batch.for_each_entry([&](const log::EntryView& entry, Sequence sequence) -> Result<void> {
          if (!entry.header.is_command() || sequence <= read_) return {};
          // No other machine's timers come due in a simulation: sessions of the broker live for a week.
          const bool timer = entry.header.machine == machine_ids::kKernel && entry.header.type == kFireTimer;
          if (entry.header.machine != kLedgerMachineId && !timer) return {};
          log_.push_back({sequence,
                          batch.header().base_time + entry.header.detail,
                          timer ? CommandType{kExpire} : entry.header.type,
                          {entry.payload.begin(), entry.payload.end()}});
          return {};
        }));
        read_ = batch.header().last_sequence();
        return {};
      });
  // Of a batch that could not be read whole nothing is kept.
  while (!log_.empty() && log_.back().sequence > read_) log_.pop_back();
  if (!done && done.error().code == Errc::not_found) {
    blind_ = true;
    ++counts_.gaps;
    return {};
  }
  return done;
}

void LedgerWatch::audit(server::Server& server, const LedgerMachine& ledger, Checker& checker, bool damaged) {
  if (blind_) return;
  const Sequence last = server.shard().last_applied();
  if (read_ > last) forget_behind(last, checker);
  if (checker.failed()) return;
  if (const Result<void> done = read(server, last); !done) {
    if (!damaged) checker.fail("the ledger's commands cannot be read: " + done.error().message);
    blind_ = true;
  }
  if (blind_) return;
  for (; run_ < log_.size() && !checker.failed(); ++run_) run(log_[run_], checker);
  if (checker.failed()) return;
  if (const std::optional<Error> damage = unreadable(ledger.ledger())) {
    if (!damaged) checker.fail("the ledger's history cannot be read: " + damage->message);
    return;
  }
  compare(ledger.ledger(), checker);
  ++counts_.audits;
}

// Every row once, out of its file where it is in one.
std::optional<Error> LedgerWatch::unreadable(const Ledger& ledger) {
  for (uint32_t number = 0; number < ledger.transfers().size(); ++number) {
    (void)ledger.transfers().body(number);
    (void)ledger.transfers().id(number);
  }
  for (uint32_t number = 0; number < ledger.history().size(); ++number) (void)ledger.history()[number];
  return ledger.take_damage();
}

// What was acknowledged was damaged at rest: the model begins again.
void LedgerWatch::forget_behind(Sequence last, Checker& checker) {
  if (!checker.lost_tail_allowed())
    return checker.fail("the log was synced up to sequence " + std::to_string(read_) + " and ends at " +
                        std::to_string(last));
  while (!log_.empty() && log_.back().sequence > last) log_.pop_back();
  read_ = last;
  run_ = 0;
  model_ = {};
  results_.clear();
  acknowledged_.clear();
  known_.clear();
}

void LedgerWatch::run(const Logged& command, Checker& checker) {
  const auto now = static_cast<uint64_t>(std::max<LogTime>(1, command.time));
  ++counts_.commands;
  switch (command.type) {
    case kRegister: model_.advance(now, 1); return;
    case kTouch: return;
    case kExpire: {
      const auto open = [&] {
        return std::count_if(model_.state().pendings.begin(), model_.state().pendings.end(),
                             [](const auto& row) { return row.second == PendingStatus::pending; });
      };
      const auto before = open();
      model_.expire(now, kExpireMax);
      counts_.expired += static_cast<uint64_t>(before - open());
      return;
    }
    case kCreateAccounts:
    case kCreateTransfers:
    case kSettleTransfers: return run_create(command, checker);
    default: checker.fail("the model does not know command " + std::to_string(command.type) + " of the ledger");
  }
}

// Counts what was created and comes from elsewhere.
template <class Row, class Create>
std::vector<CreateResult> LedgerWatch::run_batch(const std::vector<Row>& events, uint16_t imported, Create create) {
  static_assert(static_cast<uint32_t>(AccountStatus::created) == static_cast<uint32_t>(TransferStatus::created));
  std::vector<CreateResult> results = create(events);
  for (size_t i = 0; i < events.size(); ++i)
    if (events[i].has(imported) && results[i].status == static_cast<uint32_t>(TransferStatus::created))
      ++counts_.imported;
  return results;
}

void LedgerWatch::run_create(const Logged& command, Checker& checker) {
  const OperationRow& row = *fintech::operation_of(command.type);
  const Bytes payload = command.payload;
  const std::optional<MultiBatch> batches = parse_body(row, payload.subspan(Caller::kBytes));
  if (!batches) return checker.fail("the log holds a body that the ledger must have refused");
  const auto now = static_cast<uint64_t>(std::max<LogTime>(1, command.time));
  uint64_t timestamp = model_.advance(now, batches->elements()) - batches->elements();
  MultiBatchWriter writer(row.result_bytes);
  batches->visit([&](Bytes batch) {
    timestamp += batch.size() / row.event_bytes;
    const std::vector<CreateResult> results =
        command.type == kCreateAccounts
            ? run_batch(rows_of<Account>(batch), account_flags::kImported,
                        [&](const auto& events) { return model_.create_accounts(timestamp, events); })
            : run_batch(rows_of<Transfer>(batch), transfer_flags::kImported,
                        [&](const auto& events) { return model_.create_transfers(timestamp, events); });
    const auto* bytes = reinterpret_cast<const std::byte*>(results.data());
    writer.out().insert(writer.out().end(), bytes, bytes + results.size() * sizeof(CreateResult));
    writer.end_batch();
  });
  const Caller caller = Caller::read(payload.data());
  if (caller.client == 0) return;  // the server's own
  if (!results_.try_emplace({caller.client, caller.checksum}, writer.finish()).second)
    checker.fail("request " + std::to_string(caller.request) + " of ledger client " + number_text(caller.client) +
                 " is in the log twice");
}

void LedgerWatch::acknowledged(Request request, const std::vector<Transfer>& events, std::vector<std::byte> results) {
  const std::optional<MultiBatch> batches = MultiBatch::parse(results, sizeof(CreateResult));
  size_t at = 0;
  if (batches)
    batches->visit([&](Bytes batch) {
      for (const CreateResult& result : rows_of<CreateResult>(batch)) {
        ++counts_.acknowledged;
        if (at >= events.size()) continue;
        if (result.status == static_cast<uint32_t>(TransferStatus::created))
          known_.push_back({events[at].id, result.timestamp});
        ++at;
      }
    });
  acknowledged_[request] = std::move(results);
}

void LedgerWatch::compare(const Ledger& ledger, Checker& checker) {
  compare_accounts(ledger, checker);
  compare_transfers(ledger, checker);
  compare_histories(ledger, checker);
  compare_totals(ledger, checker);
  compare_answers(checker);
}

void LedgerWatch::compare_accounts(const Ledger& ledger, Checker& checker) const {
  const auto& accounts = model_.state().accounts;
  if (ledger.accounts().size() != accounts.size())
    checker.fail("there are " + std::to_string(ledger.accounts().size()) + " accounts instead of " +
                 std::to_string(accounts.size()));
  for (const auto& [id, account] : accounts) {
    const Account* found = ledger.find_account(id);
    if (found == nullptr) return checker.fail("account " + number_text(id) + " is lost");
    if (!same_bytes(*found, account))
      return checker.fail("account " + number_text(id) + " has " + balances_text(*found) + " instead of " +
                          balances_text(account));
  }
}

void LedgerWatch::compare_transfers(const Ledger& ledger, Checker& checker) const {
  const auto& state = model_.state();
  if (ledger.transfers().size() != state.transfers.size())
    checker.fail("there are " + std::to_string(ledger.transfers().size()) + " transfers instead of " +
                 std::to_string(state.transfers.size()));
  for (const auto& [id, transfer] : state.transfers) {
    Transfer found;
    if (!ledger.find_transfer(id, found)) return checker.fail("transfer " + number_text(id) + " is lost");
    if (!same_bytes(found, transfer)) return checker.fail("transfer " + number_text(id) + " is another one");
    const auto pending = state.pendings.find(id);
    const PendingStatus status = pending == state.pendings.end() ? PendingStatus::none : pending->second;
    if (ledger.pending_status(id) != status)
      return checker.fail("pending transfer " + number_text(id) + " has status " +
                          std::to_string(static_cast<int>(ledger.pending_status(id))) + " instead of " +
                          std::to_string(static_cast<int>(status)));
  }
}

// Of one account after each start: its transfers, and the balances that it keeps.
void LedgerWatch::compare_histories(const Ledger& ledger, Checker& checker) {
  const auto& state = model_.state();
  if (state.accounts.empty()) return;
  const auto account =
      std::next(state.accounts.begin(), static_cast<ptrdiff_t>(next_history_++ % state.accounts.size()));
  AccountFilter filter{};
  filter.account_id = account->first;
  filter.limit = static_cast<uint32_t>(state.transfers.size() + 1);
  filter.flags = filter_flags::kDebits | filter_flags::kCredits;
  std::vector<Transfer> transfers;
  ledger.account_transfers(filter, filter.limit, transfers);
  const auto of_account = std::count_if(state.transfers.begin(), state.transfers.end(), [&](const auto& row) {
    return row.second.debit_account_id == account->first || row.second.credit_account_id == account->first;
  });
  const bool in_order = std::is_sorted(transfers.begin(), transfers.end(),
                                       [](const Transfer& a, const Transfer& b) { return a.timestamp < b.timestamp; });
  if (transfers.size() != static_cast<size_t>(of_account) || !in_order)
    checker.fail("account " + number_text(account->first) + " has " + std::to_string(transfers.size()) +
                 " transfers instead of " + std::to_string(of_account) + (in_order ? "" : ", out of order"));
  std::vector<AccountBalance> balances;
  ledger.account_balances(filter, filter.limit, balances);
  size_t at = 0;
  auto row = state.balances.lower_bound({account->first, 0});
  for (; row != state.balances.end() && row->first.first == account->first; ++row, ++at)
    if (at >= balances.size() || !same_bytes(balances[at], row->second))
      return checker.fail("account " + number_text(account->first) + " keeps another balance at " +
                          std::to_string(row->first.second));
  if (at != balances.size()) checker.fail("account " + number_text(account->first) + " keeps too many balances");
}

void LedgerWatch::compare_totals(const Ledger& ledger, Checker& checker) const {
  std::map<uint32_t, LedgerTotals> sums;
  for (const auto& [id, account] : model_.state().accounts) {
    ++sums[account.ledger].accounts;
    sums[account.ledger].balances += balances_of(account);
  }
  for (const auto& [number, totals] : ledger.totals().rows())
    if (!(totals == sums[number])) checker.fail("the totals of ledger " + std::to_string(number) + " are wrong");
  Recount recount;
  RecountReport report;
  while (recount.step(ledger, kRecountSlice, true, report) != fintech::Scanned::done) {
  }
  if (!report.agrees())
    checker.fail("the recount finds " + std::to_string(report.differing_accounts) + " accounts and " +
                 std::to_string(report.differing_ledgers) + " ledgers wrong");
}

void LedgerWatch::compare_answers(Checker& checker) {
  for (const auto& [request, results] : acknowledged_) {
    const auto given = results_.find(request);
    const std::string client = "ledger client " + number_text(request.first);
    if (given == results_.end() && checker.lost_tail_allowed()) continue;  // behind what was read of the log
    if (given == results_.end()) return checker.fail("a request of " + client + " was acknowledged and is lost");
    if (given->second != results) return checker.fail(client + " was given other results than the log leads to");
  }
  acknowledged_.clear();
}

}  // namespace heptane::sim
