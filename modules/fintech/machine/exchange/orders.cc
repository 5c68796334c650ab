#include "modules/fintech/machine/exchange/orders.h"

#include <algorithm>

#include "kernel/base/assert.h"
#include "kernel/base/prefetch.h"

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kOrderBytesMax = size_t{8} << 10;
constexpr uint64_t kOrderBytes = 480;                    // with its places in the maps
constexpr uint64_t kBookOrderBytes = 230;                // of an open one, in its book (book/README.md)
constexpr uint64_t kPartiesBytes = 112;                  // of an order that has some, beside their text
constexpr uint64_t kClientBytes = 144;                   // a ClOrdID of the day
constexpr uint64_t kClientSlotBytes = 64;                // the room of one that is forgotten
constexpr uint64_t kLastDayFollows = uint64_t{1} << 63;  // in the saved count of ends

}  // namespace

Order* Orders::find(uint64_t id) {
  const uint32_t slot = slot_of(id);
  return slot == IdIndex::kNone ? nullptr : &at(slot);
}

void Orders::expect_order(uint64_t id) const {
  constexpr size_t kLine = 64;
  const uint32_t slot = ids_.likely(id);
  if (slot == IdIndex::kNone) return;
  const auto* order = reinterpret_cast<const std::byte*>(&at(slot));
  for (size_t line = 0; line < sizeof(Order); line += kLine) prefetch_line(order + line);
}

// Its slot.
uint32_t Orders::keep(const Order& order) {
  if (free_.empty()) {
    const auto first = static_cast<uint32_t>(pieces_.size() * kPerPiece);
    pieces_.push_back(std::make_unique<Piece>());
    for (uint32_t slot = first + kPerPiece; slot-- > first;) free_.push_back(slot);
  }
  const uint32_t slot = free_.back();
  free_.pop_back();
  at(slot) = order;
  ids_.insert(order.id, slot);
  ++kept_;
  return slot;
}

void Orders::drop(uint64_t id) {
  const uint32_t slot = slot_of(id);
  ids_.erase(id, slot);
  at(slot) = Order();  // its texts too
  if (!parties_.empty()) set_parties(id, {});
  free_.push_back(slot);
  --kept_;
}

const Order* Orders::find_client(uint32_t firm, const std::string& client_id) const {
  const uint32_t slot =
      clients_.find(firm, client_id, [&](uint32_t of) { return at(of).firm == firm && at(of).client_id == client_id; });
  if (slot != NameIndex::kNone) return &at(slot);
  const Used* used = find_used(last_day_, firm, client_id);
  return used == nullptr ? nullptr : find(used->order);
}

bool Orders::taken(uint32_t firm, const std::string& client_id, const TradingDay& day) const {
  const uint32_t slot =
      clients_.find(firm, client_id, [&](uint32_t of) { return at(of).firm == firm && at(of).client_id == client_id; });
  return slot != NameIndex::kNone || find_used(day.date, firm, client_id) != nullptr;
}

uint32_t Orders::used(uint32_t firm, const TradingDay& day) const {
  const auto found = counts_.find({day.date, firm});
  return found == counts_.end() ? 0 : found->second;
}

const Orders::Used* Orders::find_used(int64_t day, uint32_t firm, const std::string& client_id) const {
  const uint32_t slot = used_index_.find(firm, client_id, [&](uint32_t candidate) {
    const Used& used = used_[candidate];
    return used.day == day && used.firm == firm && used.client_id == client_id;
  });
  return slot == NameIndex::kNone ? nullptr : &used_[slot];
}

// Once a day: a replace may come back to a ClOrdID of an earlier one.
void Orders::use(Used used) {
  if (find_used(used.day, used.firm, used.client_id) != nullptr) return;
  last_day_ = used.day;
  if (free_used_.empty()) {
    free_used_.push_back(static_cast<uint32_t>(used_.size()));
    used_.emplace_back();
  }
  const uint32_t slot = free_used_.back();
  free_used_.pop_back();
  used_index_.insert(used.firm, used.client_id, slot);
  ++counts_[{used.day, used.firm}];
  used_until_[used.until].push_back(slot);
  used_[slot] = std::move(used);
}

void Orders::forget(LogTime now, size_t most) {
  for (; most > 0 && !used_until_.empty() && used_until_.begin()->first <= now; --most) {
    std::deque<uint32_t>& slots = used_until_.begin()->second;
    forget(slots.front());
    slots.pop_front();
    if (slots.empty()) used_until_.erase(used_until_.begin());
  }
  if (!used_until_.empty()) return;
  used_.clear();
  free_used_.clear();
}

void Orders::forget(uint32_t slot) {
  Used& used = used_[slot];
  const auto count = counts_.find({used.day, used.firm});
  if (--count->second == 0) counts_.erase(count);
  used_index_.erase(used.firm, used.client_id, slot);
  used = Used();  // its text too
  free_used_.push_back(slot);
}

void Orders::set_parties(uint64_t id, const std::string& parties) {
  const auto found = parties_.find(id);
  if (found != parties_.end()) {
    parties_bytes_ -= found->second.size();
    parties_.erase(found);
  }
  if (parties.empty()) return;
  parties_bytes_ += parties.size();
  parties_.emplace(id, parties);
}

// Open orders come in the order of their numbers.
void Orders::index(uint32_t slot) {
  const Order& order = at(slot);
  if (open_of_.size() <= order.account) open_of_.resize(order.account + 1);
  if (open_of_[order.account].empty()) open_accounts_.insert(order.account);
  open_of_[order.account].append(order.id);
  ++open_;
  clients_.insert(order.firm, order.client_id, slot);
  if (order.expires_at == 0) return;
  due_[order.expires_at].append(order.id);
  ++due_of_[{order.instrument, order.expires_at}];
}

std::optional<Orders::Place> Orders::next_open(Place place) const {
  if (place.first < open_of_.size())
    if (const uint64_t next = open_of_[place.first].after(place.second); next != 0) return Place{place.first, next};
  const auto account = open_accounts_.upper_bound(place.first);
  if (account == open_accounts_.end()) return std::nullopt;
  return Place{*account, open_of_[*account].after(0)};
}

std::optional<Orders::Due> Orders::next_due(Due due) const {
  auto time = due_.lower_bound(due.first);
  if (time != due_.end() && time->first == due.first) {
    if (const uint64_t next = time->second.after(due.second); next != 0) return Due{due.first, next};
    ++time;
  }
  if (time == due_.end()) return std::nullopt;
  return Due{time->first, time->second.after(0)};
}

bool Orders::overdue(uint32_t instrument, LogTime now) const {
  const auto first = due_of_.lower_bound({instrument, 0});
  return first != due_of_.end() && first->first.first == instrument && first->first.second <= now;
}

Order& Orders::add(const Order& order, const TradingDay& day) {
  HEPTANE_ASSERT(order.id == next_id_, "orders are numbered in their order");
  ++next_id_;
  const uint32_t slot = keep(order);
  use_up(order.firm, order.client_id, order.id, day);
  index(slot);
  return at(slot);
}

void Orders::rename(Order& order, const std::string& client_id, const TradingDay& day) {
  const uint32_t slot = slot_of(order.id);
  clients_.erase(order.firm, order.client_id, slot);
  order.client_id = client_id;
  clients_.insert(order.firm, order.client_id, slot);
  use_up(order.firm, order.client_id, order.id, day);
}

void Orders::end(Order& order, OrderStatus status) {
  AscendingNumbers& open = open_of_[order.account];
  open.erase(order.id);
  if (open.empty()) open_accounts_.erase(order.account);
  --open_;
  clients_.erase(order.firm, order.client_id, slot_of(order.id));
  if (order.expires_at != 0) {
    const auto due = due_.find(order.expires_at);
    due->second.erase(order.id);
    if (due->second.empty()) due_.erase(due);
    const auto due_of = due_of_.find({order.instrument, order.expires_at});
    if (--due_of->second == 0) due_of_.erase(due_of);
  }
  order.status = status;
  ended_.push_back(order.id);
  if (ended_.size() <= kEndedKept) return;
  drop(ended_.front());
  ended_.pop_front();
}

// What restore() takes it for.
int64_t Orders::day_saved_last() const {
  return used_until_.empty() ? last_day_ : used_[used_until_.rbegin()->second.back()].day;
}

void Orders::save_ends(SnapshotWriter& writer) const {
  const auto differs = [&](uint32_t slot) { return used_[slot].until != (used_[slot].day + 1) * kDayNs; };
  uint64_t count = 0;
  for (const auto& [until, slots] : used_until_) count += std::count_if(slots.begin(), slots.end(), differs);
  const bool last_day = last_day_ != day_saved_last();
  writer.le(count | (last_day ? kLastDayFollows : 0));
  if (last_day) writer.le(last_day_);
  uint64_t at = 0;
  for (const auto& [until, slots] : used_until_)
    for (const uint32_t slot : slots) {
      if (differs(slot)) {
        writer.le(at);
        writer.le(until);
      }
      ++at;
    }
}

// restore() has filled the slots in the order of the snapshot.
void Orders::restore_ends(SnapshotReader& reader) {
  const auto ends = reader.le<uint64_t>();
  if ((ends & kLastDayFollows) != 0) last_day_ = reader.le<int64_t>();
  for (auto count = ends & ~kLastDayFollows; count > 0 && !reader.failed(); --count) {
    const auto at = reader.le<uint64_t>();
    if (at >= used_.size()) return reader.fail();
    used_[at].until = reader.le<LogTime>();
  }
  used_until_.clear();
  for (uint32_t slot = 0; slot < used_.size(); ++slot) used_until_[used_[slot].until].push_back(slot);
}

void Orders::save_parties(SnapshotWriter& writer) const {
  writer.le(static_cast<uint64_t>(parties_.size()));
  for (const auto& [id, parties] : parties_) {
    writer.le(id);
    writer.text(parties);
  }
}

// Behind the orders that they are of.
void Orders::restore_parties(SnapshotReader& reader) {
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const auto id = reader.le<uint64_t>();
    const std::string parties = reader.text(kOrderBytesMax);
    if (find(id) == nullptr || parties.empty()) return reader.fail();
    set_parties(id, parties);
  }
}

uint64_t Orders::memory_bytes() const {
  return kept_ * kOrderBytes + open_ * kBookOrderBytes + used_kept() * kClientBytes +
         free_used_.size() * kClientSlotBytes + parties_.size() * kPartiesBytes + parties_bytes_;
}

void Orders::save(SnapshotWriter& writer) const {
  writer.le(next_id_);
  std::vector<uint64_t> ids(ended_.begin(), ended_.end());
  for (std::optional<Place> next = next_open({0, 0}); next; next = next_open(*next)) ids.push_back(next->second);
  std::sort(ids.begin(), ids.end());  // total order: each is there once
  writer.le(static_cast<uint64_t>(ids.size()));
  for (const uint64_t id : ids) writer.blob(packed(*find(id)).view());
  writer.le(static_cast<uint64_t>(ended_.size()));
  for (const uint64_t id : ended_) writer.le(id);
  writer.le(static_cast<uint64_t>(used_kept()));
  for (const auto& [until, slots] : used_until_)
    for (const uint32_t slot : slots) {
      const Used& used = used_[slot];
      writer.le(used.day);
      writer.le(used.firm);
      writer.text(used.client_id);
      writer.le(used.order);
    }
}

Result<void> Orders::restore(SnapshotReader& reader) {
  next_id_ = reader.le<uint64_t>();
  uint64_t last = 0;
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const std::string bytes = reader.text(kOrderBytesMax);
    const std::optional<Order> order = reader.failed() ? std::nullopt : unpacked<Order>(as_bytes(bytes));
    if (!order || order->id <= last || order->id >= next_id_ || order->account > kAccountsMax) {
      reader.fail();
      break;
    }
    last = order->id;
    const uint32_t slot = keep(*order);
    if (order->status == OrderStatus::open) index(slot);
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    const Order* ended = find(ended_.emplace_back(reader.le<uint64_t>()));
    if (ended == nullptr || ended->status == OrderStatus::open) reader.fail();
  }
  for (auto count = reader.le<uint64_t>(); count > 0 && !reader.failed(); --count) {
    Used used;
    used.day = reader.le<int64_t>();
    used.until = (used.day + 1) * kDayNs;
    used.firm = reader.le<uint32_t>();
    used.client_id = reader.text(kClientIdMax);
    used.order = reader.le<uint64_t>();
    use(std::move(used));
  }
  if (kept_ != open_ + ended_.size()) reader.fail();
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's orders do not read back"};
  return {};
}

}  // namespace heptane::fintech::exchange
