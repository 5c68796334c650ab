#include "modules/fintech/domain/risk_rules/windows.h"

#include <algorithm>

namespace heptane::fintech::risk_rules {

namespace {

constexpr int64_t kSecondNs = 1'000'000'000;
constexpr Uint128 kSumMax = Uint128{1} << 126;

int64_t width_of(int64_t length) { return (length + kBuckets - 2) / (kBuckets - 1); }

}  // namespace

Window::Window(const WindowSpec& spec, uint64_t index_key)
    : spec_(spec), length_(spec.seconds * kSecondNs), width_(width_of(length_)), index_(index_key) {}

uint32_t Window::find(uint64_t key) const {
  return index_.find(key, [&](uint32_t at) { return row(at).key == key; });
}

Window::Reading Window::read(uint64_t key, LogTime now, const Room& room) const {
  Reading reading;
  reading.full = now < left_out_.all_until || room.used >= room.most;
  const uint32_t at = find(key);
  if (at == kNone) {
    reading.full = reading.full || now < left_out_.keys_until || (keys_ >= spec_.keys && !all_over(row(oldest_), now));
    return reading;
  }
  const Row& of = row(at);
  reading.full = reading.full || (now < left_out_.keys_until && of.made >= left_out_.keys_since);
  reading.sum = of.sum;
  for (size_t n = of.first; n < of.events.size() && over(of, of.events[n], now); ++n, ++reading.looked)
    reading.sum -= of.events[n].amount();
  reading.full = reading.full || reading.sum > kSumMax;
  return reading;
}

void Window::add(uint64_t key, Uint128 amount, LogTime now, Room& room) {
  for (size_t n = 0; n < kForgets && oldest_ != kNone && all_over(row(oldest_), now); ++n) forget_oldest(now, room);
  uint32_t at = find(key);
  if (room.used >= room.most || (at == kNone && keys_ >= spec_.keys) || (at != kNone && row(at).sum > kSumMax)) {
    leave_out(at == kNone && room.used < room.most, now);
    return;
  }
  if (at == kNone)
    at = make(key, now);
  else
    unlink(at);
  link_newest(at);
  Row& of = row(at);
  drop_over(of, now, room);
  if (of.events.empty()) of.coarse = false;
  if (!of.coarse && of.events.size() - of.first >= spec_.exact) make_coarse(of, room);
  append(of, of.coarse ? bucket(now) : now, std::min(amount, kAmountMax), room);
  of.last = now;
}

void Window::leave_out(bool key_is_missing, LogTime now) {
  if (!key_is_missing) {
    left_out_.all_until = now + length_;
    return;
  }
  if (now >= left_out_.keys_until) left_out_.keys_since = now;
  left_out_.keys_until = now + length_;
}

void Window::append(Row& of, int64_t at, Uint128 amount, Room& room) {
  of.sum += amount;
  if (of.coarse && of.first < of.events.size() && of.events.back().at == at)
    return set(of.events.back(), of.events.back().amount() + amount);
  Event event;
  event.at = at;
  set(event, amount);
  // What is over in front makes way once it is half of all.
  if (of.first > 0 && of.first * size_t{2} >= of.events.size()) {
    of.events.erase(of.events.begin(), of.events.begin() + of.first);
    of.first = 0;
  }
  of.events.push_back(event);
  take_from(room, 1);
}

void Window::drop_over(Row& of, LogTime now, Room& room) {
  while (of.first < of.events.size() && over(of, of.events[of.first], now)) {
    of.sum -= of.events[of.first++].amount();
    give_back(room, 1);
  }
  if (of.first < of.events.size()) return;
  of.events = {};  // its memory, too: what is counted is what there is
  of.first = 0;
}

void Window::make_coarse(Row& of, Room& room) {
  const std::vector<Event> events(of.events.begin() + of.first, of.events.end());
  give_back(room, static_cast<uint32_t>(events.size()));
  of.events = {};
  of.first = 0;
  of.sum = 0;
  of.coarse = true;
  for (const Event& event : events) append(of, bucket(event.at), event.amount(), room);
}

uint32_t Window::make(uint64_t key, LogTime now) {
  uint32_t at = keys_;
  if (free_.empty()) {
    if (at == pieces_.size() * kPerPiece) pieces_.push_back(std::make_unique<Piece>());
  } else {
    at = free_.back();
    free_.pop_back();
  }
  row(at).key = key;
  row(at).made = now;
  index_.insert(key, at);
  ++keys_;
  return at;
}

void Window::forget_oldest(LogTime now, Room& room) {
  const uint32_t at = oldest_;
  Row& of = row(at);
  drop_over(of, now, room);
  unlink(at);
  index_.erase(of.key, at);
  of = Row();
  free_.push_back(at);
  --keys_;
}

void Window::link_newest(uint32_t at) {
  Row& of = row(at);
  of.older = newest_;
  of.newer = kNone;
  if (newest_ != kNone) row(newest_).newer = at;
  newest_ = at;
  if (oldest_ == kNone) oldest_ = at;
}

void Window::unlink(uint32_t at) {
  const Row& of = row(at);
  if (of.older != kNone)
    row(of.older).newer = of.newer;
  else
    oldest_ = of.newer;
  if (of.newer != kNone)
    row(of.newer).older = of.older;
  else
    newest_ = of.older;
}

bool Window::restore(const Saved& saved, Room& room) {
  const size_t most = saved.coarse ? static_cast<size_t>(kBuckets) : spec_.exact;
  const bool later = newest_ == kNone || row(newest_).last <= saved.last;
  if (saved.events.empty() || saved.events.size() > most || keys_ >= spec_.keys || !later) return false;
  if (room.most - room.used < saved.events.size() || find(saved.key) != kNone) return false;
  const uint32_t at = make(saved.key, saved.made);
  link_newest(at);
  Row& of = row(at);
  of.last = saved.last;
  of.coarse = saved.coarse;
  for (const Event& event : saved.events) {
    const bool ascends =
        of.events.empty() || of.events.back().at < event.at || (!of.coarse && of.events.back().at == event.at);
    if (!ascends || event.amount() > kSumMax || of.sum > kSumMax) return false;
    append(of, event.at, event.amount(), room);
  }
  return true;
}

uint64_t Window::memory_bytes() const {
  return pieces_.size() * sizeof(Piece) + free_.capacity() * sizeof(uint32_t) + index_.memory_bytes() +
         uint64_t{events_} * 2 * sizeof(Event);
}

}  // namespace heptane::fintech::risk_rules
