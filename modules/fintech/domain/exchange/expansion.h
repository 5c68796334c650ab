// From a calendar in local time to instants in UTC.
//
// A local time that does not exist, because the clock is put forward, is the moment at which it is; one that there is twice, because it
// is put back, is the first of them. So phases keep their order; those that would come at the same moment, also where a session ends and
// the next one begins, come a second apart. Pure; what a zone says is its own.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "modules/fintech/domain/exchange/calendar.h"

namespace heptane::fintech::exchange {

constexpr LogTime kDayOfUtcNs = LogTime{86'400} * 1'000'000'000;
constexpr LogTime kCalendarAheadNs = 8 * kDayOfUtcNs;    // what is expanded at once
constexpr LogTime kCalendarLowNs = 7 * kDayOfUtcNs;      // what is known ahead, always
constexpr LogTime kCalendarBehindNs = 12 * kDayOfUtcNs;  // the session before is looked for
constexpr LogTime kCalendarMostNs = 400 * kDayOfUtcNs;   // and the one that comes, where there is none in a while

class LocalTime {
 public:
  virtual ~LocalTime() = default;
  // Seconds since 1970 in UTC.
  virtual int64_t utc_s(int32_t date, int32_t second_of_day) const = 0;
};

struct Expansion {
  std::vector<Instant> instants;
  LogTime upto = 0;  // all before it are there
};
// All from `from` on, for kCalendarAheadNs or until a session ends. `behind`: also those since the end of the session before.
Expansion expand(const CalendarSpec& spec, const LocalTime& zone, LogTime from, bool behind);

// By the time zone database of the system. not_found: it has no such zone. Blocks.
using Expand = std::function<Result<Expansion>(const CalendarSpec& spec, LogTime from, bool behind)>;

// A zone of that database. not_found: it has no such zone. The first use of a zone reads a file.
using FindZone = std::function<Result<std::shared_ptr<const LocalTime>>(const std::string& name)>;

}  // namespace heptane::fintech::exchange
