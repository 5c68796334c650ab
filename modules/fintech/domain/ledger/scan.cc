#include "modules/fintech/domain/ledger/scan.h"

#include <algorithm>
#include <cstring>

namespace heptane::fintech {

namespace {

constexpr uint32_t kAhead = 256;        // rows that lie anywhere: asked of the disk at once
constexpr uint32_t kAheadInRow = 2048;  // one behind the other
constexpr uint32_t kFilesAhead = 48;    // blocks of runs asked of the disk at once; that many files may stay open
constexpr uint32_t kAccountsAtOnce = 256;
constexpr int64_t kBlockOfListCost = 4;
constexpr int64_t kFileCost = 16;  // whose runs are looked at

template <class Filter>
bool range_valid(const Filter& filter) {
  if (filter.timestamp_min != 0 && !timestamp_valid(filter.timestamp_min)) return false;
  if (filter.timestamp_max == 0) return true;
  return timestamp_valid(filter.timestamp_max) && filter.timestamp_min <= filter.timestamp_max;
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
bool equal_or_any(T wanted, T value) {
  return wanted == 0 || wanted == value;
}

// Fields that filters have for both kinds of rows.
template <class Wanted, class Row>
bool fields_match(const Wanted& wanted, const Row& row) {
  return equal_or_any(wanted.user_data_128, row.user_data_128) && equal_or_any(wanted.user_data_64, row.user_data_64) &&
         equal_or_any(wanted.user_data_32, row.user_data_32) && equal_or_any(wanted.ledger, row.ledger) &&
         equal_or_any(wanted.code, row.code);
}

template <class Filter>
uint64_t time_min(const Filter& filter) {
  return filter.timestamp_min == 0 ? kTimestampMin : filter.timestamp_min;
}
template <class Filter>
uint64_t time_max(const Filter& filter) {
  return filter.timestamp_max == 0 ? kTimestampMax : filter.timestamp_max;
}

}  // namespace

// Transfers.

template <class Filter>
void TransferScan::take(const Filter& filter, uint32_t limit, uint32_t end) {
  wanted_.user_data_128 = filter.user_data_128;
  wanted_.user_data_64 = filter.user_data_64;
  wanted_.user_data_32 = filter.user_data_32;
  wanted_.code = filter.code;
  wanted_.timestamp_min = time_min(filter);
  wanted_.timestamp_max = time_max(filter);
  left_ = std::min(limit, filter.limit);
  range_ = ledger_.transfers().around(wanted_.timestamp_min, wanted_.timestamp_max);
  range_.last = std::min(range_.last, end);
  range_.first = std::min(range_.first, range_.last);
}

TransferScan::TransferScan(const Ledger& ledger, const QueryFilter& filter, uint32_t limit, uint32_t end)
    : ledger_(ledger) {
  if (!valid(filter)) return;
  source_ = Source::range;
  wanted_.ledger = filter.ledger;
  reversed_ = (filter.flags & filter_flags::kQueryReversed) != 0;
  take(filter, limit, end);
  keys_ = transfer_keys(filter);
  keyed_ = any_asked(keys_);
}

TransferScan::TransferScan(const Ledger& ledger, const AccountFilter& filter, uint32_t limit, uint32_t end,
                           bool balances)
    : ledger_(ledger), balances_(balances) {
  if (!valid(filter)) return;
  const Account* account = ledger.find_account(filter.account_id);
  if (account == nullptr || (balances && !account->has(account_flags::kHistory))) return;
  source_ = Source::account;
  wanted_.account = filter.account_id;
  wanted_.debits = (filter.flags & filter_flags::kDebits) != 0;
  wanted_.credits = (filter.flags & filter_flags::kCredits) != 0;
  reversed_ = (filter.flags & filter_flags::kReversed) != 0;
  take(filter, limit, end);
  list_ = ledger.list_of(ledger.number_of_account(filter.account_id));
  block_ = list_.full();
}

TransferScan::TransferScan(const Ledger& ledger, std::vector<Uint128> ids, uint32_t end)
    : ledger_(ledger),
      source_(Source::ids),
      left_(static_cast<uint32_t>(ids.size())),
      range_{0, end},
      ids_(std::move(ids)) {}

bool TransferScan::matches(const Transfer& body) const {
  if (body.timestamp < wanted_.timestamp_min || body.timestamp > wanted_.timestamp_max) return false;
  if (wanted_.account != 0) {
    const bool debits = body.debit_account_id == wanted_.account;
    if (!(debits ? wanted_.debits : wanted_.credits)) return false;
  }
  return fields_match(wanted_, body);
}

Scanned TransferScan::step(Slice& slice, const Found& found) {
  const TransferStore& transfers = ledger_.transfers();
  while (left_ > 0) {
    if (at_ == batch_.size()) {
      if (slice.over()) return Scanned::more;
      batch_.clear();
      batch_ids_.clear();
      at_ = 0;
      expected_ = false;
      if (const Scanned filled = fill(slice); filled != Scanned::more) return filled;
      continue;
    }
    if (slice.over()) return Scanned::more;
    const uint64_t blocks = transfers.blocks_read();
    const uint64_t rows = transfers.rows_read();
    const bool is_ready = ready(slice);
    if (is_ready) look_at(batch_[at_++], found);
    slice.left -= 1 + Slice::kBlockCost * static_cast<int64_t>(transfers.blocks_read() - blocks) +
                  Slice::kRowCost * static_cast<int64_t>(transfers.rows_read() - rows);
    if (!is_ready) return Scanned::waits;
  }
  return Scanned::done;
}

void TransferScan::look_at(uint32_t number, const Found& found) {
  const Transfer body = ledger_.transfers().body(number);
  if (source_ != Source::ids) {
    if (!matches(body)) return;
    --left_;
    return found(number, body);
  }
  // The number was found by the id's fingerprint alone.
  const Uint128 id = batch_ids_[at_ - 1];
  if (body.id == id) {
    if (number < range_.last) found(number, body);
  } else if (Transfer other; ledger_.find_transfer(id, other)) {
    if (const uint32_t right = ledger_.number_of_transfer(id); right < range_.last) found(right, other);
  }
}

// What the next number needs; what those behind it need is on its way as soon as one has to wait.
bool TransferScan::ready(Slice& slice) {
  const TransferStore& transfers = ledger_.transfers();
  const uint32_t number = batch_[at_];
  bool is_ready = slice.may_wait || transfers.ready(number);
  if (is_ready && balances_ && !slice.may_wait) {
    const Transfer body = transfers.body(number);
    is_ready = !matches(body) || transfers.balance_ready(number, body.credit_account_id == wanted_.account);
  }
  if (is_ready || expected_) return is_ready;
  expected_ = true;
  const auto rest = std::span<const uint32_t>(batch_).subspan(at_);
  transfers.expect(rest);
  if (balances_) transfers.expect_balances(rest);
  return false;
}

// done: there are no more numbers. Otherwise the batch may have got none.
Scanned TransferScan::fill(Slice& slice) {
  switch (source_) {
    case Source::nothing: return Scanned::done;
    case Source::range: return fill_from_range(slice);
    case Source::account: return fill_from_account(slice);
    case Source::ids: return fill_from_ids();
  }
  return Scanned::done;
}

// Who wants few rows asks the disk for few, unless they are hard to find.
size_t TransferScan::look_ahead(size_t most) {
  ahead_ = std::min<size_t>(ahead_ == 0 ? left_ : ahead_ * 2, most);
  return ahead_;
}

Scanned TransferScan::fill_from_range(Slice& slice) {
  if (range_.first >= range_.last) return Scanned::done;
  if (keyed_) {
    const Scanned filled = fill_from_runs(slice);
    return filled == Scanned::done ? fill_from_keys(slice) : filled;
  }
  for (size_t ahead = look_ahead(kAheadInRow); ahead > 0 && range_.first < range_.last; --ahead)
    batch_.push_back(reversed_ ? --range_.last : range_.first++);
  return Scanned::more;
}

// Of a file that has no runs, or common values: what its keys in memory name, or each of its rows.
Scanned TransferScan::fill_from_keys(Slice& slice) {
  const TransferStore& transfers = ledger_.transfers();
  const uint32_t file = next_file();
  TransferStore::Numbers piece = piece_in({0, file});
  const uint32_t known = transfers.field_keys().reach(
      file, keys_, piece.last, slice.left, [&](uint32_t number) { return transfers.keys_in_memory(number); });
  const size_t ahead = look_ahead(kAheadInRow);
  if (reversed_ ? known >= piece.last : known > piece.first) {
    FieldKeys::Search search{piece.first, std::min(piece.last, known), reversed_, ahead};
    transfers.field_keys().find(file, keys_, search, batch_, slice.left);
    (reversed_ ? range_.last : range_.first) = reversed_ ? search.last : search.first;
    return Scanned::more;
  }
  for (size_t left = ahead; left > 0 && piece.first < piece.last && !slice.over(); --left)
    batch_.push_back(reversed_ ? --piece.last : piece.first++);
  (reversed_ ? range_.last : range_.first) = reversed_ ? piece.last : piece.first;
  return Scanned::more;
}

uint32_t TransferScan::next_file() const {
  return (reversed_ ? range_.last - 1 : range_.first) / ledger_.transfers().rows_per_file();
}

// What of the range lies in the files of a place.
TransferStore::Numbers TransferScan::piece_in(rows::RunPlace place) const {
  const uint64_t rows = ledger_.transfers().rows_per_file();
  const uint64_t begin = place.first_file() * rows;
  return {static_cast<uint32_t>(std::max<uint64_t>(range_.first, begin)),
          static_cast<uint32_t>(std::min<uint64_t>(range_.last, begin + place.files() * rows))};
}

void TransferScan::pass(const TransferStore::Numbers& piece) {
  (reversed_ ? range_.last : range_.first) = reversed_ ? piece.first : piece.last;
  if (runs_expected_ > 0) --runs_expected_;
}

// File after file, or as many at once as have runs together, as far as they have any. done: the next one has none.
Scanned TransferScan::fill_from_runs(Slice& slice) {
  using Found = rows::RunStore::Found;
  const TransferStore& transfers = ledger_.transfers();
  const size_t ahead = look_ahead(kAhead);
  std::vector<uint32_t> rows;
  while (range_.first < range_.last && batch_.size() < ahead && !slice.over()) {
    const uint32_t file = next_file();
    const std::optional<rows::RunStore::Choice> choice = transfers.runs().choose(file, keys_);
    if (!choice) return batch_.empty() ? Scanned::done : Scanned::more;
    rows.clear();
    const uint64_t blocks = transfers.blocks_read();
    const Found found =
        transfers.runs().find(choice->place, choice->field, *keys_[choice->field], slice.may_wait, rows);
    slice.left -= kFileCost + Slice::kBlockCost * static_cast<int64_t>(transfers.blocks_read() - blocks);
    if (found == Found::no_runs) continue;  // damaged, and not chosen again
    if (found == Found::not_yet) {
      expect_runs(file);
      return batch_.empty() ? Scanned::waits : Scanned::more;
    }
    for (uint32_t& row : rows) row += choice->place.first_file() * transfers.rows_per_file();
    add_numbers(rows);
    pass(piece_in(choice->place));
  }
  return Scanned::more;
}

void TransferScan::expect_runs(uint32_t file) {
  if (runs_expected_ > 0) return;
  const rows::RunStore& runs = ledger_.transfers().runs();
  const uint32_t rows = ledger_.transfers().rows_per_file();
  const uint32_t first = range_.first / rows;
  const uint32_t last = (range_.last - 1) / rows;
  for (; runs_expected_ < kFilesAhead && file >= first && file <= last; ++runs_expected_) {
    const std::optional<rows::RunStore::Choice> choice = runs.choose(file, keys_);
    const rows::RunPlace place = choice ? choice->place : rows::RunPlace{0, file};
    if (choice) runs.expect(place, choice->field, *keys_[choice->field]);
    file = reversed_ ? place.first_file() - 1 : place.first_file() + place.files();
  }
}

// Of a block of the list, those in the range.
void TransferScan::add_numbers(std::span<const uint32_t> numbers) {
  const auto add = [&](uint32_t number) {
    if (number >= range_.first && number < range_.last) batch_.push_back(number);
  };
  if (reversed_)
    std::for_each(numbers.rbegin(), numbers.rend(), add);
  else
    std::for_each(numbers.begin(), numbers.end(), add);
}

Scanned TransferScan::fill_from_account(Slice& slice) {
  if (!reversed_ && !gathered_) return gather_blocks(slice);
  if (reversed_ && !newest_taken_) {
    newest_taken_ = true;
    add_numbers(list_.newest());
    return Scanned::more;
  }
  const size_t ahead = look_ahead(kAhead);
  if (reversed_) {
    while (block_ != NumberLists::kNone && batch_.size() < ahead && !slice.over()) {
      const std::span<const uint32_t> numbers = list_.block(block_);
      add_numbers(numbers);
      block_ = numbers.front() < range_.first ? NumberLists::kNone : list_.before(block_);
      slice.left -= kBlockOfListCost;
    }
    return block_ != NumberLists::kNone || !batch_.empty() ? Scanned::more : Scanned::done;
  }
  for (; !blocks_.empty() && batch_.size() < ahead; blocks_.pop_back()) add_numbers(list_.block(blocks_.back()));
  if (blocks_.empty() && !newest_taken_) {
    newest_taken_ = true;
    add_numbers(list_.newest());
    return Scanned::more;
  }
  return batch_.empty() ? Scanned::done : Scanned::more;
}

// The list is linked backwards.
Scanned TransferScan::gather_blocks(Slice& slice) {
  for (; block_ != NumberLists::kNone && !slice.over(); slice.left -= kBlockOfListCost) {
    const std::span<const uint32_t> numbers = list_.block(block_);
    if (numbers.front() < range_.last && numbers.back() >= range_.first) blocks_.push_back(block_);
    block_ = numbers.front() < range_.first ? NumberLists::kNone : list_.before(block_);
  }
  gathered_ = block_ == NumberLists::kNone;
  return Scanned::more;
}

// What is looked at in memory for each lies anywhere: it is asked for ahead.
Scanned TransferScan::fill_from_ids() {
  for (size_t at = next_id_; at < std::min<size_t>(ids_.size(), next_id_ + kAhead); ++at)
    ledger_.prefetch_transfer(ledger_.place_of_transfer(ids_[at]));
  for (; next_id_ < ids_.size() && batch_.size() < kAhead; ++next_id_)
    if (const uint32_t number = ledger_.expected_number(ids_[next_id_]); number != NumberLists::kNone) {
      ledger_.transfers().prefetch(number);
      batch_.push_back(number);
      batch_ids_.push_back(ids_[next_id_]);
    }
  return batch_.empty() && next_id_ == ids_.size() ? Scanned::done : Scanned::more;
}

// Accounts.

AccountScan::AccountScan(const Ledger& ledger, const QueryFilter& filter, uint32_t limit)
    : ledger_(ledger), filter_(filter) {
  if (!valid(filter)) return;
  limit_ = std::min(limit, filter.limit);
  reversed_ = (filter.flags & filter_flags::kQueryReversed) != 0;
  keys_ = transfer_keys(filter);
  keyed_ = any_asked(keys_);
  first_ = ledger.first_account_not_before(time_min(filter));
  below_ = std::max(first_, ledger.first_account_not_before(time_max(filter) + 1));
  next_ = reversed_ ? ledger.accounts().size() : first_;
}

bool AccountScan::matches(const Account& account) const {
  return account.timestamp >= time_min(filter_) && account.timestamp <= time_max(filter_) &&
         fields_match(filter_, account);
}

Scanned AccountScan::step(Slice& slice) {
  while (reversed_ && below_ > first_ && found_.size() < limit_) {
    if (slice.over()) return Scanned::more;
    look_at(first_, below_, slice);
  }
  const Chunks<Account>& accounts = ledger_.accounts();
  uint32_t end = std::max(next_, ledger_.first_account_not_before(time_max(filter_) + 1));
  while (!reversed_ && next_ < end && found_.size() < limit_) {
    if (slice.over()) return Scanned::more;
    look_at(next_, end, slice);
  }
  for (; reversed_ && next_ < end; ++next_, --slice.left) {
    if (slice.over()) return Scanned::more;
    if (matches(accounts[next_])) newer_.push_back(next_);
    if (newer_.size() > limit_) newer_.pop_front();
  }
  return Scanned::done;
}

// Some of those between, from the end that the answer begins with.
void AccountScan::look_at(uint32_t& first, uint32_t& last, Slice& slice) {
  candidates_.clear();
  candidates(first, last, slice);
  for (const uint32_t number : candidates_)
    if (matches(ledger_.accounts()[number])) found_.push_back(number);
  slice.left -= static_cast<int64_t>(candidates_.size());
}

void AccountScan::candidates(uint32_t& first, uint32_t& last, Slice& slice) {
  const size_t most = std::min<size_t>(kAccountsAtOnce, limit_ - found_.size());
  if (!keyed_) {
    while (candidates_.size() < most && first < last) candidates_.push_back(reversed_ ? --last : first++);
    return;
  }
  FieldKeys& keys = ledger_.account_keys();
  const uint32_t piece = keys.piece_of(reversed_ ? last - 1 : first);
  const uint32_t begin = std::max(first, keys.first_of(piece));
  const uint32_t end = std::min(last, keys.first_of(piece + 1));
  const uint32_t known = keys.reach(piece, keys_, end, slice.left, [&](uint32_t number) {
    return std::optional(transfer_keys(ledger_.accounts()[number]));
  });
  if (reversed_ ? known < end : known <= begin) return;  // goes on in the next slice
  FieldKeys::Search search{begin, std::min(end, known), reversed_, most};
  keys.find(piece, keys_, search, candidates_, slice.left);
  (reversed_ ? last : first) = reversed_ ? search.last : search.first;
}

void AccountScan::append_to(std::vector<Account>& found) const {
  const Chunks<Account>& accounts = ledger_.accounts();
  const size_t end = found.size() + limit_;
  for (size_t i = newer_.size(); i > 0 && found.size() < end; --i) found.push_back(accounts[newer_[i - 1]]);
  for (size_t i = 0; i < found_.size() && found.size() < end; ++i) found.push_back(accounts[found_[i]]);
}

}  // namespace heptane::fintech
