#include "modules/fintech/machine/exchange/calendars.h"

#include <algorithm>

namespace heptane::fintech::exchange {

namespace {

constexpr size_t kCalendarBytesMax = size_t{256} << 10;
constexpr uint64_t kCalendarBytes = 512;

// Of a snapshot.
struct CalendarState {
  CalendarSpec spec;
  uint32_t revision = 0;
  std::vector<Instant> instants;
  LogTime upto = 0;
  TimerId timer = 0;
  LogTime due = 0;
};
template <class A, Same<CalendarState> S>
void fields(A& a, S& t) {
  a(t.spec, t.revision, t.instants, t.upto, t.timer, t.due);
}

}  // namespace

Result<void> check_instants(const std::vector<Instant>& instants, LogTime from, LogTime upto) {
  const Error wrong{Errc::invalid_argument, "a calendar's instants are at most 512, ascending, within their time"};
  if (instants.size() > kInstantsMax || upto <= from) return wrong;
  LogTime last = from - 1;
  for (const Instant& instant : instants) {
    if (instant.at <= last || instant.at >= upto || instant.phase == book::Phase::halted) return wrong;
    if (instant.ends && instant.phase != book::Phase::closed) return wrong;
    last = instant.at;
  }
  return {};
}

std::optional<Instant> Calendar::holding(LogTime now) const {
  if (now >= due) return std::nullopt;
  const Instant* const found = last(now);
  return found == nullptr ? Instant() : *found;
}

const Instant* Calendar::last(LogTime now) const {
  const Instant* found = nullptr;
  for (auto at = instants.begin(); at != instants.end() && at->at <= now; ++at) found = &*at;
  return found;
}

const Instant* Calendar::next(LogTime now) const {
  const auto at =
      std::find_if(instants.begin(), instants.end(), [&](const Instant& instant) { return instant.at > now; });
  return at == instants.end() ? nullptr : &*at;
}

std::optional<TradingDay> Calendar::day(LogTime now) const {
  LogTime begins = 0;
  for (const Instant& instant : instants) {
    if (!instant.ends) continue;
    // An order of a session's last moment is still in its last call: it ends behind it.
    if (instant.at > now) return TradingDay{instant.date, begins, instant.at + 1};
    begins = instant.at;
  }
  return std::nullopt;
}

LogTime Calendar::ended(LogTime now) const {
  LogTime ended = 0;
  for (auto at = instants.begin(); at != instants.end() && at->at <= now; ++at)
    if (at->ends) ended = at->at;
  return ended;
}

void Calendar::forget(LogTime now) {
  size_t keep = 0;  // from the last end of a session on
  for (size_t at = 0; at < instants.size() && instants[at].at <= now; ++at)
    if (instants[at].ends) keep = at;
  instants.erase(instants.begin(), instants.begin() + static_cast<std::ptrdiff_t>(keep));
}

Calendar* Calendars::find(const std::string& name) {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &at(found->second);
}

Calendar& Calendars::add(const std::string& name) {
  Calendar& calendar = calendars_.emplace_back();
  calendar.number = static_cast<uint32_t>(calendars_.size());
  names_.emplace(name, calendar.number);
  return calendar;
}

uint64_t Calendars::memory_bytes() const {
  uint64_t bytes = 0;
  for (const Calendar& calendar : calendars_)
    bytes += kCalendarBytes + calendar.instants.size() * sizeof(Instant) +
             calendar.spec.holidays.size() * sizeof(int32_t) + calendar.spec.dates.size() * kCalendarBytes;
  return bytes;
}

void Calendars::save(SnapshotWriter& writer) const {
  writer.le(static_cast<uint32_t>(calendars_.size()));
  for (const Calendar& c : calendars_)
    writer.blob(
        packed(CalendarState{c.spec, c.revision, {c.instants.begin(), c.instants.end()}, c.upto, c.timer, c.due})
            .view());
}

Result<void> Calendars::restore(SnapshotReader& reader) {
  for (auto rows = reader.le<uint32_t>(); rows > 0 && !reader.failed(); --rows) {
    const std::string bytes = reader.text(kCalendarBytesMax);
    const auto state = unpacked<CalendarState>(as_bytes(bytes));
    if (!state || names_.contains(state->spec.name) || size() >= kCalendarsMax) {
      reader.fail();
      break;
    }
    Calendar& calendar = add(state->spec.name);
    calendar.spec = state->spec;
    calendar.revision = state->revision;
    calendar.instants.assign(state->instants.begin(), state->instants.end());
    calendar.upto = state->upto;
    calendar.timer = state->timer;
    calendar.due = state->due;
  }
  if (reader.failed()) return Error{Errc::corrupt, "the exchange's calendars do not read back"};
  return {};
}

}  // namespace heptane::fintech::exchange
