// Trading calendars as commands, queries and rows, as those of exchange_api.h. A calendar comes with the instants that it has been
// expanded to; more of them come a week ahead. Any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "modules/fintech/domain/exchange/calendar.h"
#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

enum CalendarCommand : CommandType {
  kPutCalendar = 34,     // CalendarPut. Reply numbers: its number, its revision. Refused: invalid_argument, overloaded
  kExtendCalendar = 35,  // CalendarExtension. Refused: not_found, stale (another revision, or those instants are known)
  kSetCalendar = 36,     // CalendarChoice: of an instrument. Refused: not_found
  // The machine's own timers.
  kCalendarDue = 40,    // u32: the calendar an instant of which has come
  kCalendarPhase = 41,  // CalendarTurn: an instrument's turn
};
enum CalendarQuery : uint16_t { kQueryCalendars = 40 };  // Page of names. Rows of CalendarRow

constexpr size_t kCalendarsMax = 64;
constexpr size_t kInstantsMax = 512;     // of one command
constexpr size_t kInstantsKept = 2'048;  // of a calendar
constexpr size_t kCalendarPageRows = 16;

struct CalendarPut {
  CalendarSpec spec;
  std::vector<Instant> instants;  // in their order: from the session before on
  LogTime upto = 0;               // all before it are there
};
struct CalendarExtension {
  std::string name;
  uint32_t revision = 0;
  LogTime from = 0;  // where those that are known end
  LogTime upto = 0;
  std::vector<Instant> instants;
};
struct CalendarChoice {
  std::string symbol;
  std::string calendar;  // empty: none
};
struct CalendarTurn {
  uint32_t instrument = 0;
  bool extended = false;  // the call that was extended ends
};
struct CalendarRow {
  CalendarSpec spec;
  uint32_t revision = 0;
  LogTime upto = 0;
  std::vector<Instant> next;         // the ones that come, at most 16
  std::vector<std::string> symbols;  // at most 100
};

// Ascending, none of a phase that no calendar has, those of a date end.
Result<void> check_instants(const std::vector<Instant>& instants, LogTime from, LogTime upto);

template <class A, Same<CalendarPhase> S>
void fields(A& a, S& t) {
  a(t.at_s, t.phase);
}
template <class A, Same<WeeklySession> S>
void fields(A& a, S& t) {
  a(t.weekdays, t.phases);
}
template <class A, Same<DatedSession> S>
void fields(A& a, S& t) {
  a(t.date, t.phases);
}
template <class A, Same<CalendarSpec> S>
void fields(A& a, S& t) {
  a(t.name, t.zone, t.sessions, t.holidays, t.dates, t.extension_s);
}
template <class A, Same<Instant> S>
void fields(A& a, S& t) {
  a(t.at, t.phase, t.date, t.ends);
}
template <class A, Same<CalendarPut> S>
void fields(A& a, S& t) {
  a(t.spec, t.instants, t.upto);
}
template <class A, Same<CalendarExtension> S>
void fields(A& a, S& t) {
  a(t.name, t.revision, t.from, t.upto, t.instants);
}
template <class A, Same<CalendarChoice> S>
void fields(A& a, S& t) {
  a(t.symbol, t.calendar);
}
template <class A, Same<CalendarTurn> S>
void fields(A& a, S& t) {
  a(t.instrument, t.extended);
}
template <class A, Same<CalendarRow> S>
void fields(A& a, S& t) {
  a(t.spec, t.revision, t.upto, t.next, t.symbols);
}

}  // namespace heptane::fintech::exchange
