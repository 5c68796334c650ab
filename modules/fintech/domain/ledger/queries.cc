// The reads of the ledger in one go, over the searches of scan.h.
#include "modules/fintech/domain/ledger/scan.h"

namespace heptane::fintech {

namespace {

void run(TransferScan scan, const TransferScan::Found& found) {
  Slice slice;
  slice.may_wait = true;
  while (scan.step(slice, found) != Scanned::done) slice.left = Slice::kWork;
}

}  // namespace

void Ledger::account_transfers(const AccountFilter& filter, uint32_t limit, std::vector<Transfer>& found) const {
  run(TransferScan(*this, filter, limit, transfers_.size()),
      [&](uint32_t, const Transfer& body) { found.push_back(body); });
}

void Ledger::account_balances(const AccountFilter& filter, uint32_t limit, std::vector<AccountBalance>& found) const {
  run(TransferScan(*this, filter, limit, transfers_.size(), true), [&](uint32_t number, const Transfer& body) {
    found.push_back(transfers_.balance(number, body.credit_account_id == filter.account_id).balance());
  });
}

void Ledger::query_accounts(const QueryFilter& filter, uint32_t limit, std::vector<Account>& found) const {
  AccountScan scan(*this, filter, limit);
  for (Slice slice; scan.step(slice) != Scanned::done;) slice = {};
  scan.append_to(found);
}

void Ledger::query_transfers(const QueryFilter& filter, uint32_t limit, std::vector<Transfer>& found) const {
  run(TransferScan(*this, filter, limit, transfers_.size()),
      [&](uint32_t, const Transfer& body) { found.push_back(body); });
}

uint32_t Ledger::expected_number(Uint128 id) const {
  const uint32_t number = transfer_index_.find(
      id, [&](uint32_t candidate) { return (candidate & kFailedBit) == 0 || failed_[candidate & ~kFailedBit] == id; });
  return (number & kFailedBit) != 0 ? kNone : number;
}

}  // namespace heptane::fintech
