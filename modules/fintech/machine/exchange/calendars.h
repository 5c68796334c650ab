// Trading calendars with the instants that are known: those that come, and behind them what the present trade date began with. State
// of the exchange machine; the shard thread's.
//
// Invariants: instants are ascending; all before `upto` were there; of the past those stay that say which phase holds and when the
// trade date began.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>

#include "kernel/shard/effects.h"
#include "kernel/shard/snapshot_io.h"
#include "modules/fintech/machine/exchange/calendar_api.h"

namespace heptane::fintech::exchange {

struct Calendar {
  uint32_t number = 0;
  CalendarSpec spec;
  uint32_t revision = 1;
  std::deque<Instant> instants;
  LogTime upto = 0;
  TimerId timer = 0;  // kCalendarDue; 0: not armed
  // When the next instant comes, or what is known ends: nothing is entered from then on before it is done.
  LogTime due = 0;

  // The phase that holds: closed where no session has begun in a while. None: nothing is known of now.
  std::optional<Instant> holding(LogTime now) const;
  // The last one that has come, whether it has been followed or not. Null: none has.
  const Instant* last(LogTime now) const;
  const Instant* next(LogTime now) const;
  // From the end of the session before, 0 where none is known, to the end of its own.
  std::optional<TradingDay> day(LogTime now) const;
  // When the last session ended that is known; 0: none is.
  LogTime ended(LogTime now) const;
  void forget(LogTime now);
};

class Calendars {
 public:
  bool empty() const { return calendars_.empty(); }
  size_t size() const { return calendars_.size(); }
  Calendar* find(const std::string& name);
  Calendar& at(uint32_t number) { return calendars_[number - 1]; }
  const Calendar& at(uint32_t number) const { return calendars_[number - 1]; }
  Calendar& add(const std::string& name);
  const std::map<std::string, uint32_t>& names() const { return names_; }

  uint64_t memory_bytes() const;
  void save(SnapshotWriter& writer) const;
  Result<void> restore(SnapshotReader& reader);

 private:
  std::deque<Calendar> calendars_;
  std::map<std::string, uint32_t> names_;
};

}  // namespace heptane::fintech::exchange
