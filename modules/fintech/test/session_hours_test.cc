// When a FIX session is open.
#include "modules/fintech/gateway/fix/session_hours.h"

#include <gtest/gtest.h>

namespace heptane::fintech::fixgate {
namespace {

using exchange::FixHours;

constexpr LogTime kSecond = 1'000'000'000;
constexpr LogTime kHour = 3'600 * kSecond;
constexpr int32_t kHourS = 3'600;
constexpr LogTime kDay = exchange::kDayNs;
constexpr LogTime kMonday = 4 * kDay;  // 1970-01-05

// An hour ahead of UTC, two from a day on.
class Summer final : public exchange::LocalTime {
 public:
  explicit Summer(int32_t from) : from_(from) {}
  int64_t utc_s(int32_t date, int32_t second_of_day) const override {
    return int64_t{date} * exchange::kCalendarDayS + second_of_day - (date >= from_ ? 2 : 1) * kHourS;
  }

 private:
  int32_t from_;
};

FixHours daily(int32_t start_h, int32_t end_h) {
  FixHours hours;
  hours.non_stop = false;
  hours.start_s = start_h * kHourS;
  hours.end_s = end_h * kHourS;
  return hours;
}

FixHours weekly(uint8_t start_day, int32_t start_h, uint8_t end_day, int32_t end_h) {
  FixHours hours = daily(start_h, end_h);
  hours.start_day = start_day;
  hours.end_day = end_day;
  return hours;
}

// Begin and end in hours since Monday; empty: closed.
std::string open(const FixHours& hours, LogTime now, const exchange::LocalTime& zone = UtcTime()) {
  const auto period = period_of(hours, zone, now);
  if (!period) return "";
  return std::to_string((period->begins - kMonday) / kHour) + " to " + std::to_string((period->ends - kMonday) / kHour);
}

TEST(SessionHours, OfADay) {
  const FixHours hours = daily(9, 17);
  EXPECT_EQ(open(hours, kMonday + 9 * kHour - 1), "");
  EXPECT_EQ(open(hours, kMonday + 9 * kHour), "9 to 17");
  EXPECT_EQ(open(hours, kMonday + 17 * kHour - 1), "9 to 17");
  EXPECT_EQ(open(hours, kMonday + 17 * kHour), "");
  EXPECT_EQ(open(hours, kMonday + kDay + 10 * kHour), "33 to 41");
}

TEST(SessionHours, OverMidnightAndAllDay) {
  EXPECT_EQ(open(daily(22, 6), kMonday + 23 * kHour), "22 to 30");
  EXPECT_EQ(open(daily(22, 6), kMonday + 29 * kHour), "22 to 30");
  EXPECT_EQ(open(daily(22, 6), kMonday + 30 * kHour), "");
  EXPECT_EQ(open(daily(0, 0), kMonday), "0 to 24");
  EXPECT_EQ(open(daily(17, 17), kMonday + 16 * kHour), "-7 to 17");
  EXPECT_EQ(open(daily(17, 17), kMonday + 17 * kHour), "17 to 41");
}

TEST(SessionHours, OfAWeek) {
  constexpr uint8_t kSunday = 6;
  constexpr uint8_t kFriday = 4;
  const FixHours hours = weekly(kSunday, 18, kFriday, 17);
  EXPECT_EQ(open(hours, kMonday), "-6 to 113");
  EXPECT_EQ(open(hours, kMonday + 4 * kDay + 16 * kHour), "-6 to 113");
  EXPECT_EQ(open(hours, kMonday + 4 * kDay + 17 * kHour), "");
  EXPECT_EQ(open(hours, kMonday + 6 * kDay + 18 * kHour), "162 to 281");
  EXPECT_EQ(open(weekly(0, 8, 0, 8), kMonday), "-160 to 8");
  EXPECT_EQ(open(weekly(0, 8, 0, 8), kMonday + 8 * kHour), "8 to 176");
  EXPECT_EQ(open(weekly(0, 8, 0, 9), kMonday + 8 * kHour), "8 to 9");
  EXPECT_EQ(open(weekly(0, 8, 0, 9), kMonday + kDay + 8 * kHour), "");
}

TEST(SessionHours, FollowTheClockOfTheirZone) {
  const Summer zone(static_cast<int32_t>(kMonday / kDay) + 1);
  EXPECT_EQ(open(daily(9, 17), kMonday + 10 * kHour, zone), "8 to 16");
  EXPECT_EQ(open(daily(9, 17), kMonday + kDay + 7 * kHour, zone), "31 to 39");
  EXPECT_EQ(open(daily(17, 17), kMonday + 20 * kHour, zone), "16 to 39") << "a day of 23 hours";
  EXPECT_EQ(open(daily(1, 2), kMonday - kHour / 2, Summer(INT32_MAX)), "") << "not yet";
  EXPECT_EQ(open(daily(0, 1), kMonday - kHour / 2, Summer(INT32_MAX)), "-1 to 0") << "of the day that UTC has not yet";
}

TEST(SessionHours, AreSaidToWhoComesOutside) {
  EXPECT_EQ(hours_text(daily(9, 17)), "the session is open from 09:00:00 to 17:00:00 UTC");
  FixHours hours = weekly(6, 18, 4, 17);
  hours.zone = "America/New_York";
  EXPECT_EQ(hours_text(hours), "the session is open from sunday 18:00:00 to friday 17:00:00 America/New_York");
}

}  // namespace
}  // namespace heptane::fintech::fixgate
