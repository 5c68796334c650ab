#include "modules/fintech/domain/exchange/expansion.h"

#include <algorithm>

namespace heptane::fintech::exchange {

namespace {

constexpr LogTime kNsPerSecond = 1'000'000'000;
constexpr int32_t kReach = 3;  // days between a date and what of its session is farthest from it, in any zone

int32_t date_of(LogTime time) { return static_cast<int32_t>(time / kDayOfUtcNs); }

// Whole days of it, rounded down, and the rest.
Instant instant_of(const CalendarPhase& phase, int32_t date, const LocalTime& zone, bool ends) {
  const int32_t days = (phase.at_s + kCalendarDayS) / kCalendarDayS - 1;
  const int64_t utc_s = zone.utc_s(date + days, phase.at_s - days * kCalendarDayS);
  return {utc_s * kNsPerSecond, phase.phase, date, ends};
}

// Each is followed by itself: none comes at the moment of the one before.
std::vector<Instant> between(const CalendarSpec& spec, const LocalTime& zone, LogTime from, LogTime upto) {
  std::vector<Instant> instants;
  LogTime next = INT64_MIN;
  for (int32_t date = date_of(from) - kReach; date <= date_of(upto) + kReach; ++date) {
    const CalendarSession* const session = session_on(spec, date);
    if (session == nullptr) continue;
    for (const CalendarPhase& phase : *session) {
      Instant instant = instant_of(phase, date, zone, &phase == &session->back());
      instant.at = std::max(instant.at, next);
      next = instant.at + kNsPerSecond;
      if (instant.at >= from && instant.at < upto) instants.push_back(instant);
    }
  }
  return instants;
}

bool has_end(const std::vector<Instant>& instants, LogTime from) {
  return std::any_of(instants.begin(), instants.end(),
                     [from](const Instant& instant) { return instant.ends && instant.at > from; });
}

}  // namespace

Expansion expand(const CalendarSpec& spec, const LocalTime& zone, LogTime from, bool behind) {
  Expansion found;
  found.upto = from + kCalendarAheadNs;
  found.instants = between(spec, zone, from, found.upto);
  while (!has_end(found.instants, from) && found.upto < from + kCalendarMostNs) {
    const std::vector<Instant> more = between(spec, zone, found.upto, found.upto + kCalendarAheadNs);
    found.instants.insert(found.instants.end(), more.begin(), more.end());
    found.upto += kCalendarAheadNs;
  }
  if (!behind) return found;
  std::vector<Instant> before = between(spec, zone, std::max<LogTime>(0, from - kCalendarBehindNs), from);
  const auto end = std::find_if(before.rbegin(), before.rend(), [](const Instant& instant) { return instant.ends; });
  if (end != before.rend()) before.erase(before.begin(), end.base() - 1);
  found.instants.insert(found.instants.begin(), before.begin(), before.end());
  return found;
}

}  // namespace heptane::fintech::exchange
