#include "modules/fintech/domain/ledger/transfer_fetch.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

namespace heptane::fintech {

namespace {

constexpr size_t kEvent = sizeof(Transfer);  // and of an account
constexpr size_t kEventsAhead = 16;          // events whose places in memory are asked for ahead
constexpr size_t kRowsAtOnce = 256;          // rows asked of the disk at once

template <class Event>
Event event_at(Bytes events, size_t index) {
  Event event;
  std::memcpy(&event, events.data() + index * kEvent, sizeof event);
  return event;
}

}  // namespace

TransferFetch::~TransferFetch() {
  for (size_t i = 0; i < std::min(next_, wanted_.size()); ++i) {  // one that was moved from has none
    const auto found = held_->find(wanted_[i]);
    if (found != held_->end() && --found->second.times == 0) held_->erase(found);
  }
}

void TransferFetch::add_transfers(Bytes events) {
  const size_t count = events.size() / kEvent;
  for (size_t index = 0; index < std::min(count, kEventsAhead); ++index) expect(event_at<Transfer>(events, index));
  for (size_t index = 0; index < count; ++index) {
    if (index + kEventsAhead < count) expect(event_at<Transfer>(events, index + kEventsAhead));
    const auto event = event_at<Transfer>(events, index);
    want_id(event.id);
    if (event.resolves()) want_id(event.pending_id);
    const uint32_t size = ledger_.transfers().size();
    if (index == 0 && event.has(transfer_flags::kImported) && size > 0) want(size - 1);
  }
}

void TransferFetch::add_accounts(Bytes events) {
  for (size_t index = 0; index < events.size() / kEvent; ++index) {
    const auto event = event_at<Account>(events, index);
    if (!event.has(account_flags::kImported) || !ledger_.transfers().first_lacking(event.timestamp)) continue;
    times_.push_back(event.timestamp);
  }
}

// Asks the processor for where want_id() looks.
void TransferFetch::expect(const Transfer& event) const {
  ledger_.prefetch_transfer(event.id);
  if (event.resolves()) ledger_.prefetch_transfer(event.pending_id);
}

void TransferFetch::want(uint32_t number) {
  if (!ledger_.transfers().at_hand(number)) wanted_.push_back(number);
}

void TransferFetch::want_id(Uint128 id) {
  ledger_.visit_expected(id, [this](uint32_t number) { want(number); });
}

// The next row that a search for a time looks at. False: there is none.
bool TransferFetch::want_time() {
  for (; !times_.empty(); times_.pop_back())
    if (const std::optional<uint32_t> lacking = ledger_.transfers().first_lacking(times_.back())) {
      wanted_.push_back(*lacking);
      return true;
    }
  return false;
}

Scanned TransferFetch::step(Slice& slice) {
  const TransferStore& transfers = ledger_.transfers();
  while (next_ < wanted_.size() || want_time()) {
    if (slice.over()) return Scanned::more;
    const uint64_t blocks = transfers.blocks_read();
    const uint64_t rows = transfers.rows_read();
    const bool is_ready = ready(wanted_[next_]);
    if (is_ready) hold(wanted_[next_]);
    slice.left -= 1 + Slice::kBlockCost * static_cast<int64_t>(transfers.blocks_read() - blocks) +
                  Slice::kRowCost * static_cast<int64_t>(transfers.rows_read() - rows);
    if (!is_ready) return Scanned::waits;
  }
  return Scanned::done;
}

bool TransferFetch::ready(uint32_t number) {
  if (ledger_.transfers().ready(number)) return true;
  if (next_ < expected_) return false;
  const auto rest = std::span<const uint32_t>(wanted_).subspan(next_);
  ledger_.transfers().expect(rest.first(std::min(rest.size(), kRowsAtOnce)));
  expected_ = next_ + std::min(rest.size(), kRowsAtOnce);
  return false;
}

void TransferFetch::hold(uint32_t number) {
  const Transfer body = ledger_.transfers().body(number);
  ++held_->try_emplace(number, TransferStore::HeldBody{body, 0}).first->second.times;
  ++next_;
  if (body.resolves()) want_id(body.pending_id);
}

}  // namespace heptane::fintech
