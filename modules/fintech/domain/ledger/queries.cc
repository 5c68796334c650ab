// The reads of the ledger: filters over what is stored, in the order of timestamps.
#include <algorithm>

#include "modules/fintech/domain/ledger/ledger.h"

namespace heptane::fintech {

namespace {

struct TimeRange {
  uint64_t min = kTimestampMin;
  uint64_t max = kTimestampMax;
};

template <class Filter>
bool range_valid(const Filter& filter) {
  if (filter.timestamp_min != 0 && !timestamp_valid(filter.timestamp_min)) return false;
  if (filter.timestamp_max == 0) return true;
  return timestamp_valid(filter.timestamp_max) && filter.timestamp_min <= filter.timestamp_max;
}

template <class Filter>
TimeRange range_of(const Filter& filter) {
  TimeRange range;
  if (filter.timestamp_min != 0) range.min = filter.timestamp_min;
  if (filter.timestamp_max != 0) range.max = filter.timestamp_max;
  return range;
}

template <class Filter>
bool reserved_clear(const Filter& filter) {
  return std::all_of(filter.reserved.begin(), filter.reserved.end(), [](std::byte b) { return b == std::byte{0}; });
}

bool valid(const AccountFilter& filter) {
  using namespace filter_flags;
  return filter.account_id != 0 && filter.account_id != kUint128Max && range_valid(filter) && filter.limit != 0 &&
         (filter.flags & (kDebits | kCredits)) != 0 && (filter.flags & ~(kDebits | kCredits | kReversed)) == 0 &&
         reserved_clear(filter);
}

bool valid(const QueryFilter& filter) {
  return range_valid(filter) && filter.limit != 0 && (filter.flags & ~filter_flags::kQueryReversed) == 0 &&
         reserved_clear(filter);
}

template <class T>
bool matches(T wanted, T value) {
  return wanted == 0 || wanted == value;
}

// Fields that both kinds of filter have.
template <class Filter, class Row>
bool fields_match(const Filter& filter, const Row& row) {
  return matches(filter.user_data_128, row.user_data_128) && matches(filter.user_data_64, row.user_data_64) &&
         matches(filter.user_data_32, row.user_data_32) && matches(filter.code, row.code);
}

constexpr uint32_t kAskedAhead = 256;  // rows

// Calls `visit(number)` for first..last - 1 in either order until it returns false.
template <class Visit>
void visit_numbers(uint32_t first, uint32_t last, bool reversed, Visit visit) {
  for (uint32_t i = first; i < last; ++i)
    if (!visit(reversed ? last - 1 - (i - first) : i)) return;
}

// The first of `size` whose timestamp is not below.
template <class TimeOf>
uint32_t first_at(uint32_t size, uint64_t timestamp, TimeOf time_of) {
  uint32_t low = 0;
  for (uint32_t high = size; low < high;) {
    const uint32_t middle = low + (high - low) / 2;
    if (time_of(middle) < timestamp)
      low = middle + 1;
    else
      high = middle;
  }
  return low;
}

}  // namespace

// Calls `visit(number, body)` for each transfer that the filter means, until it returns false.
template <class Expect, class Visit>
void Ledger::visit_account_transfers(const AccountFilter& filter, Expect expect, Visit visit) const {
  if (!valid(filter)) return;
  const uint32_t account = account_number(filter.account_id);
  if (account == kNone) return;
  const NumberLists::View numbers(transfers_of_, account);
  const TimeRange range = range_of(filter);
  const auto number_of = [&](uint32_t i) { return uint64_t{numbers[i]}; };
  const uint32_t first = first_at(numbers.size(), transfers_.lower_bound(range.min), number_of);
  const uint32_t last = first_at(numbers.size(), transfers_.lower_bound(range.max + 1), number_of);
  const bool reversed = (filter.flags & filter_flags::kReversed) != 0;
  const uint32_t at_once = std::min(filter.limit, kAskedAhead);
  uint32_t visited = 0;
  visit_numbers(first, last, reversed, [&](uint32_t i) {
    // They lie anywhere: many are asked for at once, so that they come together.
    if (visited++ % at_once == 0)
      visit_numbers(reversed ? i - std::min(i - first, at_once - 1) : i,
                    reversed ? i + 1 : i + std::min(last - i, at_once), reversed, [&](uint32_t ahead) {
                      expect(numbers[ahead]);
                      return true;
                    });
    const Transfer body = transfers_.body(numbers[i]);
    const bool debits = body.debit_account_id == filter.account_id;
    if ((filter.flags & (debits ? filter_flags::kDebits : filter_flags::kCredits)) == 0) return true;
    return !fields_match(filter, body) || visit(numbers[i], body);
  });
}

void Ledger::account_transfers(const AccountFilter& filter, uint32_t limit, std::vector<Transfer>& found) const {
  const size_t end = found.size() + std::min(limit, filter.limit);
  const auto expect = [this](uint32_t number) { transfers_.expect(number); };
  visit_account_transfers(filter, expect, [&](uint32_t, const Transfer& body) {
    found.push_back(body);
    return found.size() < end;
  });
}

void Ledger::account_balances(const AccountFilter& filter, uint32_t limit, std::vector<AccountBalance>& found) const {
  const Account* account = find_account(filter.account_id);
  if (account == nullptr || !account->has(account_flags::kHistory)) return;
  const size_t end = found.size() + std::min(limit, filter.limit);
  const auto expect = [this](uint32_t number) {
    transfers_.expect(number);
    transfers_.expect_balance(number);
  };
  visit_account_transfers(filter, expect, [&](uint32_t number, const Transfer& body) {
    found.push_back(transfers_.balance(number, body.credit_account_id == filter.account_id).balance());
    return found.size() < end;
  });
}

void Ledger::query_accounts(const QueryFilter& filter, uint32_t limit, std::vector<Account>& found) const {
  if (!valid(filter)) return;
  const size_t end = found.size() + std::min(limit, filter.limit);
  const TimeRange range = range_of(filter);
  const auto time_of = [&](uint32_t i) { return accounts_[i].timestamp; };
  visit_numbers(first_at(accounts_.size(), range.min, time_of), first_at(accounts_.size(), range.max + 1, time_of),
                (filter.flags & filter_flags::kQueryReversed) != 0, [&](uint32_t i) {
                  const Account& account = accounts_[i];
                  if (!fields_match(filter, account) || !matches(filter.ledger, account.ledger)) return true;
                  found.push_back(account);
                  return found.size() < end;
                });
}

void Ledger::query_transfers(const QueryFilter& filter, uint32_t limit, std::vector<Transfer>& found) const {
  if (!valid(filter)) return;
  const size_t end = found.size() + std::min(limit, filter.limit);
  const TimeRange range = range_of(filter);
  visit_numbers(transfers_.lower_bound(range.min), transfers_.lower_bound(range.max + 1),
                (filter.flags & filter_flags::kQueryReversed) != 0, [&](uint32_t i) {
                  const Transfer body = transfers_.body(i);
                  if (!fields_match(filter, body) || !matches(filter.ledger, body.ledger)) return true;
                  found.push_back(body);
                  return found.size() < end;
                });
}

}  // namespace heptane::fintech
