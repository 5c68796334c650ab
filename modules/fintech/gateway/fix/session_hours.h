// When a FIX session may be logged on to: StartTime, EndTime, StartDay, EndDay and TimeZone as QuickFIX has them. A period begins a new
// session, whose numbers begin with 1. Pure; what a zone says is its own.
#pragma once

#include <optional>
#include <string>

#include "modules/fintech/domain/exchange/expansion.h"
#include "modules/fintech/machine/exchange/fix_api.h"

namespace heptane::fintech::fixgate {

struct SessionPeriod {
  LogTime begins = 0;
  LogTime ends = 0;  // behind it
};

// The one that holds `now`; none: the session is closed. Of hours that are not NonStopSession.
std::optional<SessionPeriod> period_of(const exchange::FixHours& hours, const exchange::LocalTime& zone, LogTime now);
// For whoever comes outside.
std::string hours_text(const exchange::FixHours& hours);

// Of UTC, which needs no database.
class UtcTime final : public exchange::LocalTime {
 public:
  int64_t utc_s(int32_t date, int32_t second_of_day) const override {
    return int64_t{date} * exchange::kCalendarDayS + second_of_day;
  }
};

}  // namespace heptane::fintech::fixgate
