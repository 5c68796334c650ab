#include "modules/fintech/domain/exchange/calendar.h"

#include <algorithm>
#include <set>

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kExtensionMaxS = 3'600;
constexpr size_t kZoneMax = 64;

Error wrong_calendar(std::string message) { return {Errc::invalid_argument, std::move(message)}; }

bool plain_zone(const std::string& zone) {
  const auto plain = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '+' ||
           c == '-' || c == '/';
  };
  return !zone.empty() && zone.size() <= kZoneMax && zone[0] != '/' && std::all_of(zone.begin(), zone.end(), plain);
}

Result<void> check_session(const CalendarSession& session) {
  if (session.size() < 2 || session.size() > kCalendarPhasesMax)
    return wrong_calendar("a session has 2 to 16 phases, the last one is closed");
  for (size_t n = 0; n < session.size(); ++n) {
    if (session[n].at_s < -kCalendarDayS || session[n].at_s > 2 * kCalendarDayS)
      return wrong_calendar("a phase begins within the day before, the date and the day after");
    if (n > 0 && session[n].at_s <= session[n - 1].at_s)
      return wrong_calendar("each phase of a session begins after the one before");
    if (session[n].phase == book::Phase::halted) return wrong_calendar("no phase of a session is halted");
  }
  if (session.front().phase == book::Phase::closed) return wrong_calendar("a session does not begin closed");
  if (session.back().phase != book::Phase::closed) return wrong_calendar("the last phase of a session is closed");
  return {};
}

const CalendarSession* session_of_week(const CalendarSpec& spec, int32_t date) {
  for (const WeeklySession& weekly : spec.sessions)
    if ((weekly.weekdays >> weekday_of(date) & 1U) != 0) return &weekly.phases;
  return nullptr;
}

using SessionOn = const CalendarSession* (&)(const CalendarSpec& spec, int32_t date);

// The session of the date begins when the one of the date before has ended.
Result<void> check_follows(const CalendarSpec& spec, int32_t date, SessionOn on) {
  const CalendarSession* before = on(spec, date - 1);
  const CalendarSession* session = on(spec, date);
  // One that begins two days later is out of reach: a session ends at the end of the day after at the latest.
  const CalendarSession* earlier = on(spec, date - 2);
  const bool clear =
      session == nullptr || ((before == nullptr || before->back().at_s <= session->front().at_s + kCalendarDayS) &&
                             (earlier == nullptr || earlier->back().at_s <= session->front().at_s + 2 * kCalendarDayS));
  return clear ? Result<void>() : wrong_calendar("a session begins before the one of the date before has ended");
}

template <class List, class Date>
bool ascending(const List& list, Date date) {
  return std::adjacent_find(list.begin(), list.end(),
                            [&](const auto& a, const auto& b) { return date(a) >= date(b); }) == list.end();
}

Result<void> check_dates(const CalendarSpec& spec) {
  if (spec.holidays.size() > kCalendarHolidaysMax || spec.dates.size() > kCalendarDatesMax)
    return wrong_calendar("a calendar has at most 1000 holidays and 200 dates with a session of their own");
  if (!ascending(spec.holidays, [](int32_t date) { return date; }) ||
      !ascending(spec.dates, [](const DatedSession& dated) { return dated.date; }))
    return wrong_calendar("holidays and dates are ascending, each there once");
  for (const DatedSession& dated : spec.dates) HEPTANE_TRY(check_session(dated.phases));
  for (int32_t date = 0; date < int32_t{kWeekdays}; ++date) HEPTANE_TRY(check_follows(spec, date, session_of_week));
  for (const DatedSession& dated : spec.dates)
    for (int32_t date = dated.date; date < dated.date + 3; ++date) HEPTANE_TRY(check_follows(spec, date, session_on));
  return {};
}

}  // namespace

Result<void> check_calendar(const CalendarSpec& spec) {
  if (!plain_zone(spec.zone)) return wrong_calendar("time_zone is a name of the IANA database, such as Europe/Berlin");
  if (spec.extension_s == 0 || spec.extension_s > kExtensionMaxS)
    return wrong_calendar("the extension of a call is 1 to 3600 seconds");
  if (spec.sessions.empty() || spec.sessions.size() > kCalendarSessionsMax)
    return wrong_calendar("a calendar has 1 to 14 sessions of the week");
  uint8_t weekdays = 0;
  for (const WeeklySession& weekly : spec.sessions) {
    if (weekly.weekdays == 0 || weekly.weekdays >= 1U << kWeekdays || (weekly.weekdays & weekdays) != 0)
      return wrong_calendar("a session names its weekdays, each weekday has one session");
    weekdays |= weekly.weekdays;
    HEPTANE_TRY(check_session(weekly.phases));
  }
  return check_dates(spec);
}

const CalendarSession* session_on(const CalendarSpec& spec, int32_t date) {
  const auto dated = std::lower_bound(spec.dates.begin(), spec.dates.end(), date,
                                      [](const DatedSession& one, int32_t wanted) { return one.date < wanted; });
  if (dated != spec.dates.end() && dated->date == date) return &dated->phases;
  if (std::binary_search(spec.holidays.begin(), spec.holidays.end(), date)) return nullptr;
  return session_of_week(spec, date);
}

}  // namespace heptane::fintech::exchange
