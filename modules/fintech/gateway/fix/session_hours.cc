#include "modules/fintech/gateway/fix/session_hours.h"

namespace heptane::fintech::fixgate {

namespace {

using exchange::FixHours;
using exchange::kFixEveryDay;
using exchange::kWeekdays;

constexpr LogTime kSecondNs = 1'000'000'000;

// Days from the one on which a period begins to the one on which it ends. An end that is not behind the start is of the next day, or week.
int32_t days_of(const FixHours& hours) {
  const bool ends_first = hours.end_s <= hours.start_s;
  if (hours.start_day == kFixEveryDay) return ends_first ? 1 : 0;
  const int32_t days = (hours.end_day - hours.start_day + kWeekdays) % kWeekdays;
  return days == 0 && ends_first ? kWeekdays : days;
}

std::string time_text(int32_t second) {
  const auto two = [](int32_t number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  constexpr int32_t kMinuteS = 60;
  return two(second / kMinuteS / kMinuteS) + ':' + two(second / kMinuteS % kMinuteS) + ':' + two(second % kMinuteS);
}

}  // namespace

// Zones are less than a day ahead of UTC or behind it.
std::optional<SessionPeriod> period_of(const FixHours& hours, const exchange::LocalTime& zone, LogTime now) {
  const int32_t days = days_of(hours);
  const auto today = static_cast<int32_t>(exchange::trade_date(now));
  for (int32_t date = today + 1; date >= today - days - 1; --date) {
    if (hours.start_day != kFixEveryDay && exchange::weekday_of(date) != hours.start_day) continue;
    const SessionPeriod period{zone.utc_s(date, hours.start_s) * kSecondNs,
                               zone.utc_s(date + days, hours.end_s) * kSecondNs};
    if (period.begins <= now && now < period.ends) return period;
  }
  return std::nullopt;
}

std::string hours_text(const FixHours& hours) {
  const auto at = [](uint8_t day, int32_t second) {
    const std::string time = time_text(second);
    return day == kFixEveryDay ? time : std::string(exchange::fix_day_name(day)) + ' ' + time;
  };
  return "the session is open from " + at(hours.start_day, hours.start_s) + " to " + at(hours.end_day, hours.end_s) +
         ' ' + hours.zone;
}

}  // namespace heptane::fintech::fixgate
