#include "modules/fintech/machine/ledger/query_slices.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include "modules/fintech/machine/ledger/row_bytes.h"

namespace heptane::fintech {

namespace {

constexpr int64_t kBatchCost = 64;  // where a search begins

template <class T>
T load(Bytes bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

class LedgerSlices : public QueryInSlices {
 public:
  LedgerSlices(const Ledger& ledger, bool may_wait) : ledger_(ledger), may_wait_(may_wait) {}

  Step step(Reply& reply) final {
    Slice slice;
    slice.may_wait = may_wait_;
    const Scanned scanned = work(slice);
    if (refuse_if_unreadable(ledger_, reply)) return Step::done;
    if (scanned == Scanned::done) answer(reply);
    return scanned == Scanned::done ? Step::done : scanned == Scanned::more ? Step::more : Step::waits;
  }

 protected:
  virtual Scanned work(Slice& slice) = 0;
  virtual void answer(Reply& reply) = 0;
  const Ledger& ledger() const { return ledger_; }

 private:
  const Ledger& ledger_;
  const bool may_wait_;
};

// Transfers or balances: batch after batch, of what there was at the first slice.
class TransferSlices final : public LedgerSlices {
 public:
  TransferSlices(const OperationQuery& query, const MultiBatch& batches, bool may_wait)
      : LedgerSlices(query.ledger, may_wait),
        operation_(query.row.operation),
        limit_(static_cast<uint32_t>(query.row.batch_max())),
        end_(query.ledger.transfers().size()),
        numbers_{static_cast<int64_t>(query.last_commit),
                 static_cast<int64_t>(std::max<uint64_t>(1, query.ledger.clock()))},
        writer_(query.row.result_bytes) {
    batches.visit([this](Bytes batch) { batches_.emplace_back(batch.begin(), batch.end()); });
    if (operation_ != Operation::lookup_transfers) return;
    writer_.out().reserve(batches.elements() * sizeof(Transfer) +
                          multi_batch_trailer_bytes(batches.batches(), sizeof(Transfer)));
  }

 private:
  Scanned work(Slice& slice) override {
    for (; !batches_.empty(); batches_.pop_front()) {
      if (slice.over()) return Scanned::more;
      if (!scan_) begin(slice);
      const Scanned scanned = scan_->step(slice, [this](uint32_t number, const Transfer& body) { add(number, body); });
      if (scanned != Scanned::done) return scanned;
      writer_.end_batch();
      scan_.reset();
    }
    return Scanned::done;
  }

  void begin(Slice& slice) {
    slice.left -= kBatchCost;
    const Bytes batch = batches_.front();
    switch (operation_) {
      case Operation::query_transfers: scan_.emplace(ledger(), load<QueryFilter>(batch), limit_, end_); return;
      case Operation::lookup_transfers: {
        std::vector<Uint128> ids(batch.size() / sizeof(Uint128));
        if (!ids.empty()) std::memcpy(ids.data(), batch.data(), batch.size());
        scan_.emplace(ledger(), std::move(ids), end_);
        return;
      }
      default: break;
    }
    const auto filter = load<AccountFilter>(batch);
    account_ = filter.account_id;
    scan_.emplace(ledger(), filter, limit_, end_, operation_ == Operation::get_account_balances);
  }

  void add(uint32_t number, const Transfer& body) {
    if (operation_ == Operation::get_account_balances)
      append_row(writer_.out(), ledger().transfers().balance(number, body.credit_account_id == account_).balance());
    else
      append_row(writer_.out(), body);
  }

  void answer(Reply& reply) override {
    reply.payload = Buffer::take(writer_.finish());
    reply.numbers = numbers_;
  }

  const Operation operation_;
  const uint32_t limit_;
  const uint32_t end_;
  const std::array<int64_t, 2> numbers_;
  MultiBatchWriter writer_;
  std::deque<std::vector<std::byte>> batches_;  // not answered yet
  std::optional<TransferScan> scan_;            // of the first
  Uint128 account_ = 0;
};

// Accounts: all batches as of the last slice, in which none of them finds anything new.
class AccountSlices final : public LedgerSlices {
 public:
  AccountSlices(const OperationQuery& query, const MultiBatch& batches, bool may_wait)
      : LedgerSlices(query.ledger, may_wait), row_(query.row), owners_(query.owners), last_commit_(query.last_commit) {
    batches.visit([this](Bytes batch) { filters_.push_back(load<QueryFilter>(batch)); });
  }

 private:
  Scanned work(Slice& slice) override {
    for (; scans_.size() < filters_.size(); slice.left -= kBatchCost) {
      if (slice.over()) return Scanned::more;
      scans_.emplace_back(ledger(), filters_[scans_.size()], static_cast<uint32_t>(row_.batch_max()));
    }
    for (AccountScan& scan : scans_)
      if (const Scanned scanned = scan.step(slice); scanned != Scanned::done) return scanned;
    return Scanned::done;
  }

  void answer(Reply& reply) override {
    MultiBatchWriter writer(row_.result_bytes);
    for (const AccountScan& scan : scans_) {
      std::vector<Account> accounts;
      scan.append_to(accounts);
      for (Account& account : accounts) {
        if (!owners_) account.reserved = 0;
        append_row(writer.out(), account);
      }
      writer.end_batch();
    }
    reply.payload = Buffer::take(writer.finish());
    reply.numbers = {static_cast<int64_t>(last_commit_), static_cast<int64_t>(std::max<uint64_t>(1, ledger().clock()))};
  }

  const OperationRow& row_;
  const bool owners_;
  const uint64_t& last_commit_;
  std::vector<QueryFilter> filters_;
  std::vector<AccountScan> scans_;
};

// Walks back from what is posted now, or was where the last page ended. Only posting moves what is posted: pending and
// voiding transfers stand in the statement and change nothing.
class StatementSlices final : public LedgerSlices {
 public:
  StatementSlices(const Ledger& ledger, const StatementQuery& asked, bool may_wait)
      : LedgerSlices(ledger, may_wait), asked_(asked), account_(*ledger.find_account(asked.account_id)) {
    limit_ = std::clamp<uint32_t>(asked.limit, 1, kStatementMax);
    AccountFilter filter{};
    filter.account_id = asked.account_id;
    filter.timestamp_max = asked.before == 0 ? 0 : asked.before - 1;
    filter.limit = limit_ + 1;
    filter.flags = filter_flags::kDebits | filter_flags::kCredits | filter_flags::kReversed;
    if (asked.before != 1) scan_.emplace(ledger, filter, limit_ + 1, ledger.transfers().size());
  }

 private:
  Scanned work(Slice& slice) override {
    if (!scan_) return Scanned::done;
    return scan_->step(slice, [this](uint32_t, const Transfer& body) { transfers_.push_back(body); });
  }

  void answer(Reply& reply) override {
    const bool more = transfers_.size() > limit_;
    if (more) transfers_.pop_back();
    std::vector<std::byte> out;
    out.reserve(sizeof(Account) + transfers_.size() * sizeof(StatementRow));
    append_row(out, account_);
    StatementRow row;
    row.debits_posted = asked_.before == 0 ? account_.debits_posted : asked_.debits_posted;
    row.credits_posted = asked_.before == 0 ? account_.credits_posted : asked_.credits_posted;
    for (const Transfer& transfer : transfers_) {
      row.transfer = transfer;
      append_row(out, row);
      if (transfer.has(transfer_flags::kPending | transfer_flags::kVoid)) continue;
      (transfer.debit_account_id == asked_.account_id ? row.debits_posted : row.credits_posted) -= transfer.amount;
    }
    reply.payload = Buffer::take(std::move(out));
    reply.numbers = {static_cast<int64_t>(transfers_.size()), more ? 1 : 0};
  }

  const StatementQuery asked_;
  const Account account_;  // as of the first slice, as the transfers are
  uint32_t limit_ = 0;
  std::optional<TransferScan> scan_;
  std::vector<Transfer> transfers_;
};

class PlaceSlices final : public LedgerSlices {
 public:
  PlaceSlices(const Ledger& ledger, Uint128 id, bool may_wait)
      : LedgerSlices(ledger, may_wait),
        id_(id),
        end_(ledger.transfers().size()),
        scan_(ledger, std::vector<Uint128>{id}, end_) {}

 private:
  Scanned work(Slice& slice) override {
    return scan_.step(slice, [this](uint32_t number, const Transfer&) { number_ = number; });
  }
  void answer(Reply& reply) override {
    if (number_) {
      reply.numbers = {*number_, end_};
      return;
    }
    reply.error = Errc::not_found;
    reply.message = "there is no transfer " + number_text(id_);
  }

  const Uint128 id_;
  const uint32_t end_;
  TransferScan scan_;
  std::optional<uint32_t> number_;
};

}  // namespace

std::unique_ptr<QueryInSlices> make_operation_slices(const OperationQuery& query, bool may_wait) {
  const std::optional<MultiBatch> batches = parse_body(query.row, query.body);
  if (!batches || query.row.creates || query.row.operation == Operation::lookup_accounts) return nullptr;
  if (query.row.operation == Operation::query_accounts)
    return std::make_unique<AccountSlices>(query, *batches, may_wait);
  return std::make_unique<TransferSlices>(query, *batches, may_wait);
}

std::unique_ptr<QueryInSlices> make_statement_slices(const Ledger& ledger, const StatementQuery& query, bool may_wait) {
  return std::make_unique<StatementSlices>(ledger, query, may_wait);
}

std::unique_ptr<QueryInSlices> make_place_slices(const Ledger& ledger, Uint128 id, bool may_wait) {
  return std::make_unique<PlaceSlices>(ledger, id, may_wait);
}

bool refuse_if_unreadable(const Ledger& ledger, Reply& reply) {
  const std::optional<Error> damage = ledger.take_damage();
  if (!damage) return false;
  reply = Reply{};
  reply.error = damage->code;
  reply.message = damage->message;
  return true;
}

}  // namespace heptane::fintech
