// When an instrument trades: sessions of the week in a time zone, holidays, days with a session of their own. Declared in local time;
// expanded (expansion.h) to the instants at which phases begin, in UTC, which alone the exchange goes by.
//
// A session belongs to the date that it is declared for, its trade date, also where it begins the evening before or ends after
// midnight. Its phases follow one another; the last one is `closed` and ends it. Between sessions it is closed.
// Invariants of one that check_calendar() has let through: no session begins before the one of the date before has ended, on any
// date. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/base/result.h"
#include "modules/fintech/domain/book/book.h"

namespace heptane::fintech::exchange {

constexpr size_t kCalendarPhasesMax = 16;    // of a session
constexpr size_t kCalendarSessionsMax = 14;  // of the week
constexpr size_t kCalendarHolidaysMax = 1'000;
constexpr size_t kCalendarDatesMax = 200;  // with a session of their own
constexpr int32_t kCalendarDayS = 86'400;
constexpr uint8_t kWeekdays = 7;  // Monday is 0

struct CalendarPhase {
  int32_t at_s = 0;  // local time since midnight of the date: from a day before to the end of the day after
  book::Phase phase = book::Phase::closed;
};
using CalendarSession = std::vector<CalendarPhase>;

struct WeeklySession {
  uint8_t weekdays = 0;  // bit n: weekday n
  CalendarSession phases;
};
struct DatedSession {
  int32_t date = 0;
  CalendarSession phases;
};

struct CalendarSpec {
  std::string name;
  std::string zone;  // of the IANA database: Europe/Berlin
  std::vector<WeeklySession> sessions;
  std::vector<int32_t> holidays;    // dates: days since 1970-01-01; ascending
  std::vector<DatedSession> dates;  // in place of the week's, holidays too; ascending
  uint32_t extension_s = 300;       // that a call goes on whose price is outside the band
};

// A phase begins.
struct Instant {
  LogTime at = 0;
  book::Phase phase = book::Phase::closed;
  int32_t date = 0;   // trade date
  bool ends = false;  // the session of the date
};

// What is wrong with it.
Result<void> check_calendar(const CalendarSpec& spec);
// Null: there is none on the date.
const CalendarSession* session_on(const CalendarSpec& spec, int32_t date);

// 1970-01-01 was a Thursday.
constexpr uint8_t weekday_of(int32_t date) {
  constexpr int32_t kThursday = 3;
  return static_cast<uint8_t>(((date + kThursday) % kWeekdays + kWeekdays) % kWeekdays);
}

}  // namespace heptane::fintech::exchange
