#include "modules/fintech/domain/ledger/scan.h"

#include <algorithm>

namespace heptane::fintech {

namespace {

constexpr uint32_t kAhead = 256;        // rows that lie anywhere: asked of the disk at once
constexpr uint32_t kAheadInRow = 2048;  // one behind the other
constexpr uint32_t kFilesAhead = 48;    // blocks of runs asked of the disk at once; that many files may stay open
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
  keyed_ = std::ranges::any_of(keys_, [](const auto& key) { return key.has_value(); });
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
    const bool is_ready = ready(slice);
    if (is_ready) look_at(batch_[at_++], found);
    slice.left -= 1 + Slice::kBlockCost * static_cast<int64_t>(transfers.blocks_read() - blocks);
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
    if (filled != Scanned::done) return filled;
  }
  const TransferStore::Numbers piece = keyed_ ? next_piece() : range_;
  const auto count = static_cast<uint32_t>(std::min<size_t>(piece.last - piece.first, look_ahead(kAheadInRow)));
  for (uint32_t i = 0; i < count; ++i) batch_.push_back(reversed_ ? piece.last - 1 - i : piece.first + i);
  if (reversed_)
    range_.last -= count;
  else
    range_.first += count;
  return Scanned::more;
}

// What of the range lies in the next file.
TransferStore::Numbers TransferScan::next_piece() const {
  const uint32_t rows = ledger_.transfers().rows_per_file();
  const uint64_t begin = uint64_t{(reversed_ ? range_.last - 1 : range_.first) / rows} * rows;
  return {static_cast<uint32_t>(std::max<uint64_t>(range_.first, begin)),
          static_cast<uint32_t>(std::min<uint64_t>(range_.last, begin + rows))};
}

void TransferScan::pass(const TransferStore::Numbers& piece) {
  (reversed_ ? range_.last : range_.first) = reversed_ ? piece.first : piece.last;
  if (runs_expected_ > 0) --runs_expected_;
}

// That whose rows are found with the fewest blocks; none: all rows have to be looked at.
std::optional<uint32_t> TransferScan::best_field(uint32_t file) const {
  std::optional<uint32_t> best;
  uint32_t fewest = 0;
  for (uint32_t field = 0; field < kTransferFields; ++field) {
    if (!keys_[field]) continue;
    const std::optional<uint32_t> blocks = ledger_.transfers().runs().blocks_of(file, field, *keys_[field]);
    if (!blocks || (best && *blocks >= fewest)) continue;
    best = field;
    fewest = *blocks;
  }
  return best;
}

// File after file, as far as they have runs. done: the next one has none.
Scanned TransferScan::fill_from_runs(Slice& slice) {
  using Found = rows::RunStore::Found;
  const TransferStore& transfers = ledger_.transfers();
  const size_t ahead = look_ahead(kAhead);
  std::vector<uint32_t> rows;
  while (range_.first < range_.last && batch_.size() < ahead && !slice.over()) {
    const TransferStore::Numbers piece = next_piece();
    const uint32_t file = piece.first / transfers.rows_per_file();
    const std::optional<uint32_t> field = best_field(file);
    rows.clear();
    const uint64_t blocks = transfers.blocks_read();
    const Found found =
        field ? transfers.runs().find(file, *field, *keys_[*field], slice.may_wait, rows) : Found::no_runs;
    slice.left -= kFileCost + Slice::kBlockCost * static_cast<int64_t>(transfers.blocks_read() - blocks);
    if (found == Found::no_runs) return batch_.empty() ? Scanned::done : Scanned::more;
    if (found == Found::not_yet) {
      expect_runs(file);
      return batch_.empty() ? Scanned::waits : Scanned::more;
    }
    for (uint32_t& row : rows) row += file * transfers.rows_per_file();
    add_numbers(rows);
    pass(piece);
  }
  return Scanned::more;
}

void TransferScan::expect_runs(uint32_t file) {
  if (runs_expected_ > 0) return;
  const uint32_t rows = ledger_.transfers().rows_per_file();
  const uint32_t first = range_.first / rows;
  const uint32_t last = (range_.last - 1) / rows;
  for (; runs_expected_ < kFilesAhead && file >= first && file <= last; file += reversed_ ? UINT32_MAX : 1) {
    if (const std::optional<uint32_t> field = best_field(file))
      ledger_.transfers().runs().expect(file, *field, *keys_[*field]);
    ++runs_expected_;
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

Scanned TransferScan::fill_from_ids() {
  for (; next_id_ < ids_.size() && batch_.size() < kAhead; ++next_id_)
    if (const uint32_t number = ledger_.expected_number(ids_[next_id_]); number != NumberLists::kNone) {
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
  first_ = ledger.first_account_not_before(time_min(filter));
  below_ = std::max(first_, ledger.first_account_not_before(time_max(filter) + 1));
  next_ = reversed_ ? ledger.accounts().size() : first_;
}

bool AccountScan::matches(const Account& account) const {
  return account.timestamp >= time_min(filter_) && account.timestamp <= time_max(filter_) &&
         fields_match(filter_, account);
}

Scanned AccountScan::step(Slice& slice) {
  const Chunks<Account>& accounts = ledger_.accounts();
  for (; reversed_ && below_ > first_ && found_.size() < limit_; --below_, --slice.left) {
    if (slice.over()) return Scanned::more;
    if (matches(accounts[below_ - 1])) found_.push_back(below_ - 1);
  }
  for (; next_ < accounts.size() && (reversed_ || found_.size() < limit_); ++next_, --slice.left) {
    if (accounts[next_].timestamp > time_max(filter_)) return Scanned::done;
    if (slice.over()) return Scanned::more;
    if (!matches(accounts[next_])) continue;
    if (!reversed_) {
      found_.push_back(next_);
      continue;
    }
    newer_.push_back(next_);
    if (newer_.size() > limit_) newer_.pop_front();
  }
  return Scanned::done;
}

void AccountScan::append_to(std::vector<Account>& found) const {
  const Chunks<Account>& accounts = ledger_.accounts();
  const size_t end = found.size() + limit_;
  for (size_t i = newer_.size(); i > 0 && found.size() < end; --i) found.push_back(accounts[newer_[i - 1]]);
  for (size_t i = 0; i < found_.size() && found.size() < end; ++i) found.push_back(accounts[found_[i]]);
}

}  // namespace heptane::fintech
