#include "modules/fintech/domain/ledger/transfer_store.h"

#include <algorithm>

#include "modules/fintech/domain/ledger/transfer_fields.h"

namespace heptane::fintech {

TransferStore::TransferStore(uint32_t rows_per_file)
    : bodies_("ledger-transfers", rows_per_file),
      keys_("ledger-keys", rows_per_file),
      balances_("ledger-balances", rows_per_file),
      runs_(bodies_.store().shape(), kTransferFields, keys_of_transfer),
      field_keys_(rows_per_file, FieldKeys::Full::stay_columns) {
  bodies_.store().set_on_leave([this](uint32_t first, uint32_t count) { keep_pending(first, count); });
}

Transfer TransferStore::body(uint32_t number) const {
  if (const Transfer* held = held_body(number)) return *held;
  if (const Transfer* kept = kept_pending(number)) return *kept;
  return bodies_[number];
}

bool TransferStore::has_id(uint32_t number, Uint128 id) const {
  if (const Transfer* held = held_body(number)) return held->id == id;
  if (const Transfer* kept = kept_pending(number)) return kept->id == id;
  return keys_[number].id == id;
}

// Null: it is in memory anyway, or not pending.
const Transfer* TransferStore::kept_pending(uint32_t number) const {
  if (status(number) != PendingStatus::pending || bodies_.store().in_memory(number) != nullptr) return nullptr;
  const auto found = pending_.find(number);
  return found == pending_.end() ? nullptr : &found->second;
}

uint32_t TransferStore::append(const Transfer& transfer, PendingStatus status, uint32_t debit, uint32_t credit,
                               Histories keep) {
  const uint32_t number = size();
  bodies_.push_back(transfer);
  keys_.push_back({transfer.id, transfer.timestamp, debit, credit});
  restore_mark(number, transfer.timestamp, keep);
  mark_status(number, status);
  return number;
}

void TransferStore::restore_mark(uint32_t number, uint64_t timestamp, Histories keep) {
  if (number % kPerWaypoint == 0) waypoints_.push_back({timestamp, balances_due_, 0});
  const auto mark = static_cast<uint8_t>((keep.debit ? kDebitBalance : 0) | (keep.credit ? kCreditBalance : 0));
  marks_.push_back(mark);
  balances_due_ += rows_of(mark);
}

void TransferStore::pop() {
  const uint32_t number = size() - 1;
  balances_due_ -= rows_of(marks_.back());
  if (number % kPerWaypoint == 0) waypoints_.pop_back();
  marks_.pop_back();
  bodies_.pop_back();
  keys_.pop_back();
  field_keys_.forget_from(number);
}

std::optional<TransferKeys> TransferStore::keys_in_memory(uint32_t number) const {
  const std::byte* row = bodies_.store().in_memory(number);
  if (row == nullptr) return std::nullopt;
  TransferKeys keys;
  keys_of_transfer(row, keys.data());
  return keys;
}

// The keys of rows in memory serve until their file has runs, or cannot have any.
void TransferStore::settle_runs() {
  runs_.settle(bodies_.store());
  field_keys_.drop_if([this](uint32_t file) { return runs_.answered(file); });
}

void TransferStore::set_status(uint32_t number, PendingStatus status, const Transfer& body) {
  mark_status(number, status);
  if (status != PendingStatus::pending)
    pending_.erase(number);
  else if (bodies_.store().in_memory(number) == nullptr)
    pending_.emplace(number, body);
}

// A post or void, or an expiry, will want them.
void TransferStore::keep_pending(uint32_t first, uint32_t count) {
  for (uint32_t number = first; number < first + count; ++number)
    if (status(number) == PendingStatus::pending) pending_.emplace(number, bodies_[number]);
}

template <class TimeOf>
uint32_t TransferStore::first_not_before(uint64_t timestamp, TimeOf time_of) const {
  const auto first_at = [timestamp](uint32_t low, uint32_t high, auto time_at) {
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (time_at(middle) < timestamp)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  // Behind the last waypoint that is below, and not behind the next.
  const uint32_t next = first_at(0, waypoints_.size(), [this](uint32_t at) { return waypoints_[at].timestamp; });
  if (next == 0) return 0;
  return first_at((next - 1) * kPerWaypoint + 1, std::min(next * kPerWaypoint, size()), time_of);
}

uint32_t TransferStore::lower_bound(uint64_t timestamp) const {
  return first_not_before(timestamp, [this](uint32_t at) { return this->timestamp(at); });
}

std::optional<uint32_t> TransferStore::first_lacking(uint64_t timestamp) const {
  std::optional<uint32_t> lacking;
  const auto look_at = [&](uint32_t at) -> uint64_t {
    if (!lacking && !at_hand(at)) lacking = at;
    return lacking ? UINT64_MAX : this->timestamp(at);
  };
  if (const uint32_t at = first_not_before(timestamp, look_at); at < size()) look_at(at);
  return lacking;
}

TransferStore::Numbers TransferStore::around(uint64_t timestamp_min, uint64_t timestamp_max) const {
  const auto behind = [this](uint64_t timestamp) {  // waypoints that are not later
    uint32_t low = 0;
    for (uint32_t high = waypoints_.size(); low < high;) {
      const uint32_t middle = low + (high - low) / 2;
      if (waypoints_[middle].timestamp <= timestamp)
        low = middle + 1;
      else
        high = middle;
    }
    return low;
  };
  const uint32_t first = behind(timestamp_min);
  return {first == 0 ? 0 : (first - 1) * kPerWaypoint, std::min(behind(timestamp_max) * kPerWaypoint, size())};
}

void TransferStore::expect_balances(std::span<const uint32_t> transfers) const {
  std::vector<uint32_t> rows;
  rows.reserve(transfers.size());
  for (const uint32_t transfer : transfers) rows.push_back(balance_row(transfer, false));
  balances_.store().expect(rows);
}

uint32_t TransferStore::balance_row(uint32_t transfer, bool credit_side) const {
  uint32_t row = waypoints_[transfer / kPerWaypoint].balances;
  for (uint32_t number = transfer / kPerWaypoint * kPerWaypoint; number < transfer; ++number)
    row += rows_of(marks_[number]);
  return credit_side && (marks_[transfer] & kDebitBalance) != 0 ? row + 1 : row;
}

std::optional<Error> TransferStore::take_damage() const {
  std::optional<Error> damage;
  for (const rows::RowStore* store : stores())
    if (std::optional<Error> found = store->take_damage(); found && !damage) damage = std::move(found);
  return damage;
}

void TransferStore::clear() {
  for (rows::RowStore* store : stores()) store->clear();
  runs_.clear();
  field_keys_.clear();
  marks_.clear();
  waypoints_.clear();
  balances_due_ = 0;
  pending_.clear();
}

uint64_t TransferStore::memory_bytes() const {
  constexpr uint64_t kMapNode = 48 + sizeof(Transfer);
  uint64_t bytes =
      runs_.memory_bytes() + marks_.memory_bytes() + waypoints_.memory_bytes() + pending_.size() * kMapNode;
  for (const rows::RowStore* store : stores()) bytes += store->memory_bytes();
  return bytes;
}

uint64_t TransferStore::cache_bytes() const {
  constexpr uint64_t kMapNode = 48 + sizeof(HeldBody);
  uint64_t bytes = field_keys_.memory_bytes() + held_->size() * kMapNode;
  for (const rows::RowStore* store : stores()) bytes += store->cache_bytes();
  return bytes;
}

}  // namespace heptane::fintech
