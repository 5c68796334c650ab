#include "modules/fintech/domain/ledger/transfer_fetch.h"

#include <algorithm>
#include <array>
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

template <class Field>
Field field_at(const std::byte* event, size_t offset) {
  Field field;
  std::memcpy(&field, event + offset, sizeof field);
  return field;
}

}  // namespace

TransferFetch::~TransferFetch() {
  for (size_t i = 0; i < std::min(next_, wanted_.size()); ++i) {  // one that was moved from has none
    const auto found = held_->find(wanted_[i]);
    if (found != held_->end() && --found->second.times == 0) held_->erase(found);
  }
}

// Every command passes here, and mostly nothing is lacking: no event is copied, and each id is hashed once.
void TransferFetch::add_transfers(Bytes events) {
  const size_t count = events.size() / kEvent;
  std::array<Places, kEventsAhead> ahead;
  for (size_t index = 0; index < std::min(count, kEventsAhead); ++index)
    ahead[index] = expect(events.data() + index * kEvent);
  for (size_t index = 0; index < count; ++index) {
    Places& slot = ahead[index % kEventsAhead];
    const Places places = slot;
    if (index + kEventsAhead < count) slot = expect(events.data() + (index + kEventsAhead) * kEvent);
    want_at(places.id);
    if (places.resolves) want_at(places.pending);
  }
  const uint32_t size = ledger_.transfers().size();
  if (count > 0 && size > 0 && event_at<Transfer>(events, 0).has(transfer_flags::kImported)) want(size - 1);
}

void TransferFetch::add_accounts(Bytes events) {
  for (size_t index = 0; index < events.size() / kEvent; ++index) {
    const auto event = event_at<Account>(events, index);
    if (!event.has(account_flags::kImported) || !ledger_.transfers().first_lacking(event.timestamp)) continue;
    times_.push_back(event.timestamp);
  }
}

// Asks the processor for where want_at() looks.
TransferFetch::Places TransferFetch::expect(const std::byte* event) const {
  Places places;
  places.id = ledger_.place_of_transfer(field_at<Uint128>(event, offsetof(Transfer, id)));
  ledger_.prefetch_transfer(places.id);
  constexpr uint16_t kResolves = transfer_flags::kPost | transfer_flags::kVoid;
  places.resolves = (field_at<uint16_t>(event, offsetof(Transfer, flags)) & kResolves) != 0;
  if (!places.resolves) return places;
  places.pending = ledger_.place_of_transfer(field_at<Uint128>(event, offsetof(Transfer, pending_id)));
  ledger_.prefetch_transfer(places.pending);
  return places;
}

void TransferFetch::want(uint32_t number) {
  if (!ledger_.transfers().at_hand(number)) wanted_.push_back(number);
}

void TransferFetch::want_at(const TransferIds::Place& place) {
  ledger_.visit_expected(place, [this](uint32_t number) { want(number); });
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
  if (body.resolves()) want_at(ledger_.place_of_transfer(body.pending_id));
}

}  // namespace heptane::fintech
