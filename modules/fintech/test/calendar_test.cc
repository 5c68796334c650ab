// Trading calendars: what may be declared, how local time becomes instants on both sides of a change of the clock, and the exchange going
// through its days by them: calls, closes, halts, starts that come late, another calendar meanwhile.
#include <gtest/gtest.h>

#include <chrono>

#include "modules/fintech/test/exchange_rig.h"
#include "modules/fintech/worker/calendar/zone.h"

namespace heptane::fintech::exchange {
namespace {

using book::Phase;
using book::Side;
using book::TimeInForce;
using test::bitcoin;
using test::ExchangeRig;
using test::kBtc;
using test::kSecond;
using test::kUsd;
using test::mentions;

constexpr int32_t kHour = 3'600;
constexpr int32_t kMinute = 60;
constexpr uint8_t kMonToFri = 0x1F;

int32_t date(int year, unsigned month, unsigned day) {
  const std::chrono::year_month_day on{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  return static_cast<int32_t>(std::chrono::sys_days(on).time_since_epoch().count());
}
LogTime utc(int32_t date, int hour, int minute = 0, int second = 0) {
  return (LogTime{date} * 86'400 + hour * kHour + minute * kMinute + second) * kSecond;
}

CalendarSession day_session() {
  return {{8 * kHour + 55 * kMinute, Phase::opening_call},
          {9 * kHour, Phase::continuous},
          {17 * kHour + 25 * kMinute, Phase::closing_call},
          {17 * kHour + 30 * kMinute, Phase::closed}};
}
CalendarSpec berlin() {
  CalendarSpec spec;
  spec.name = "berlin";
  spec.zone = "Europe/Berlin";
  spec.sessions = {{kMonToFri, day_session()}};
  return spec;
}
// From the evening before to the afternoon, as futures in Chicago and New York trade.
CalendarSpec new_york() {
  CalendarSpec spec;
  spec.name = "new_york";
  spec.zone = "America/New_York";
  spec.sessions = {{kMonToFri, {{-6 * kHour, Phase::continuous}, {17 * kHour, Phase::closed}}}};
  return spec;
}

// ---- what may be declared

TEST(Calendar, WhatIsWrongWithItIsSaid) {
  const auto message = [](const CalendarSpec& spec) {
    const Result<void> checked = check_calendar(spec);
    return checked ? std::string() : checked.error().message;
  };
  EXPECT_EQ(message(berlin()), "");
  EXPECT_EQ(message(new_york()), "");
  CalendarSpec spec = berlin();
  spec.zone = "../../etc/passwd";
  EXPECT_NE(message(spec), "");
  spec = berlin();
  spec.zone = "/etc/passwd";
  EXPECT_NE(message(spec), "");
  spec = berlin();
  spec.sessions.push_back({1, day_session()});
  EXPECT_EQ(message(spec), "a session names its weekdays, each weekday has one session");
  spec = berlin();
  spec.sessions[0].phases.pop_back();
  EXPECT_EQ(message(spec), "the last phase of a session is closed");
  spec = berlin();
  std::swap(spec.sessions[0].phases[1], spec.sessions[0].phases[2]);
  EXPECT_EQ(message(spec), "each phase of a session begins after the one before");
  spec = berlin();
  spec.sessions[0].phases[1].phase = Phase::halted;
  EXPECT_EQ(message(spec), "no phase of a session is halted");
  spec = berlin();
  spec.holidays = {date(2027, 1, 1), date(2026, 12, 25)};
  EXPECT_NE(message(spec), "");
  spec = new_york();
  spec.sessions[0].phases[1].at_s = 19 * kHour;
  EXPECT_EQ(message(spec), "a session begins before the one of the date before has ended");
  // Only where a day of its own meets the week.
  spec = new_york();
  spec.dates = {{date(2026, 12, 24), {{9 * kHour, Phase::continuous}, {19 * kHour, Phase::closed}}}};
  EXPECT_EQ(message(spec), "a session begins before the one of the date before has ended");
}

TEST(Calendar, HolidaysAndShortDaysComeBeforeTheWeek) {
  CalendarSpec spec = berlin();
  spec.holidays = {date(2026, 12, 25), date(2027, 1, 1)};
  spec.dates = {{date(2026, 12, 30), {{9 * kHour, Phase::continuous}, {14 * kHour, Phase::closed}}}};
  EXPECT_EQ(session_on(spec, date(2026, 12, 25)), nullptr);
  EXPECT_EQ(session_on(spec, date(2026, 12, 26)), nullptr) << "a Saturday";
  EXPECT_EQ(session_on(spec, date(2026, 12, 28))->size(), 4U);
  EXPECT_EQ(session_on(spec, date(2026, 12, 30))->size(), 2U);
}

// ---- local time

std::vector<LogTime> times_of(const Expansion& expansion, int32_t on) {
  std::vector<LogTime> times;
  for (const Instant& instant : expansion.instants)
    if (instant.date == on) times.push_back(instant.at);
  return times;
}

TEST(Calendar, BothChangesOfTheClockInBerlin) {
  CalendarSpec spec = berlin();
  spec.sessions = {{0x7F, day_session()}};
  const auto spring = expand_in_zone(spec, utc(date(2027, 3, 26), 0), false);
  ASSERT_TRUE(spring.ok());
  EXPECT_EQ(times_of(*spring, date(2027, 3, 27))[1], utc(date(2027, 3, 27), 8));
  EXPECT_EQ(times_of(*spring, date(2027, 3, 28))[1], utc(date(2027, 3, 28), 7)) << "the clock was put forward at 2:00";
  const auto autumn = expand_in_zone(spec, utc(date(2027, 10, 29), 0), false);
  EXPECT_EQ(times_of(*autumn, date(2027, 10, 30))[1], utc(date(2027, 10, 30), 7));
  EXPECT_EQ(times_of(*autumn, date(2027, 10, 31))[1], utc(date(2027, 10, 31), 8));
}

TEST(Calendar, ATimeThatIsNotThereIsTheJumpAndOneThatIsThereTwiceIsTheFirst) {
  struct Case {
    const char* zone;
    int32_t forward;
    LogTime jump;
    int32_t back;
    LogTime first;
  };
  const Case cases[] = {
      {"Europe/Berlin", date(2027, 3, 28), utc(date(2027, 3, 28), 1), date(2027, 10, 31),
       utc(date(2027, 10, 31), 0, 30)},
      {"America/New_York", date(2027, 3, 14), utc(date(2027, 3, 14), 7), date(2027, 11, 7),
       utc(date(2027, 11, 7), 5, 30)},
  };
  for (const Case& one : cases) {
    CalendarSpec spec = berlin();
    spec.zone = one.zone;
    const int32_t twice = std::string_view(one.zone) == "Europe/Berlin" ? 2 : 1;
    spec.sessions = {{0x7F,
                      {{kHour / 2, Phase::opening_call},
                       {twice * kHour + 30 * kMinute, Phase::continuous},
                       {2 * kHour + 31 * kMinute, Phase::auction_call},
                       {3 * kHour, Phase::closed}}}};
    const auto forward = expand_in_zone(spec, utc(one.forward - 2, 0), false);
    ASSERT_TRUE(forward.ok());
    // What is between two and three comes then, in its order, and three itself: a second apart.
    const std::vector<LogTime> times = times_of(*forward, one.forward);
    const size_t first = twice == 2 ? 1 : 2;
    for (size_t n = first; n < times.size(); ++n)
      EXPECT_EQ(times[n], one.jump + static_cast<LogTime>(n - first) * kSecond) << one.zone << " " << n;
    const auto back = expand_in_zone(spec, utc(one.back - 2, 0), false);
    EXPECT_EQ(times_of(*back, one.back)[1], one.first) << one.zone;
    EXPECT_TRUE(std::is_sorted(back->instants.begin(), back->instants.end(),
                               [](const Instant& a, const Instant& b) { return a.at < b.at; }));
  }
}

// Round the clock: the end is an instant of its own.
TEST(Calendar, ASessionThatBeginsWhenTheOneBeforeEndsBeginsASecondLater) {
  CalendarSpec spec = new_york();
  spec.sessions = {{0x7F, {{-7 * kHour, Phase::continuous}, {17 * kHour, Phase::closed}}}};
  ASSERT_TRUE(check_calendar(spec).ok());
  const int32_t monday = date(2027, 3, 15);
  const auto expansion = expand_in_zone(spec, utc(monday, 12), false);
  ASSERT_TRUE(expansion.ok());
  EXPECT_EQ(times_of(*expansion, monday), std::vector<LogTime>{utc(monday, 21)});
  EXPECT_EQ(times_of(*expansion, monday + 1)[0], utc(monday, 21, 0, 1));
  // However it is cut into pieces.
  const auto piece = expand_in_zone(spec, utc(monday, 21, 0, 1), false);
  EXPECT_EQ(piece->instants[0].at, utc(monday, 21, 0, 1));
  EXPECT_TRUE(check_instants(expansion->instants, utc(monday, 12), expansion->upto).ok());
}

TEST(Calendar, TheWeekIsJudgedWithoutDaysOfItsOwn) {
  CalendarSpec spec = berlin();
  spec.sessions = {{0x7F, {{-6 * kHour, Phase::continuous}, {19 * kHour, Phase::closed}}}};
  for (int32_t day = -3; day < 12; ++day) spec.holidays.push_back(day);
  EXPECT_FALSE(check_calendar(spec).ok());
  for (int32_t day = -3; day < 12; ++day)
    spec.dates.push_back({day, {{9 * kHour, Phase::continuous}, {14 * kHour, Phase::closed}}});
  EXPECT_FALSE(check_calendar(spec).ok());
}

TEST(Calendar, ASessionOverMidnightIsOfItsDate) {
  const int32_t monday = date(2027, 3, 15);  // the first one after the change in New York
  const auto expansion = expand_in_zone(new_york(), utc(monday - 3, 22, 1), true);
  ASSERT_TRUE(expansion.ok());
  EXPECT_EQ(times_of(*expansion, monday), (std::vector<LogTime>{utc(monday - 1, 22), utc(monday, 21)}));
  // Behind: the end of Friday's, in winter time.
  EXPECT_EQ(expansion->instants.front().at, utc(monday - 3, 22));
  EXPECT_TRUE(expansion->instants.front().ends);
  EXPECT_EQ(expansion->upto, utc(monday - 3, 22, 1) + kCalendarAheadNs);
}

TEST(Calendar, ALongPauseIsLookedBeyond) {
  CalendarSpec spec = berlin();
  for (int32_t day = date(2027, 7, 1); day < date(2027, 8, 1); ++day) spec.holidays.push_back(day);
  const auto expansion = expand_in_zone(spec, utc(date(2027, 7, 1), 12), false);
  ASSERT_TRUE(expansion.ok());
  ASSERT_FALSE(expansion->instants.empty());
  EXPECT_EQ(expansion->instants.front().date, date(2027, 8, 2));
  spec.zone = "Europe/Nowhere";
  const auto nowhere = expand_in_zone(spec, 0, false);
  ASSERT_FALSE(nowhere.ok());
  EXPECT_EQ(nowhere.error().code, Errc::invalid_argument);
}

// ---- the exchange by it

class ByCalendar : public testing::Test {
 protected:
  ByCalendar() {
    rig.now = utc(kMonday, 6);
    rig.open_market(bitcoin(), Phase::closed);
    rig.fund("alpha", "10", "100000");
    rig.fund("beta", "10", "100000");
  }
  void declare(const CalendarSpec& spec) {
    const auto expansion = expand_in_zone(spec, rig.now, true);
    ASSERT_TRUE(expansion.ok());
    const Reply put = rig.ask(kPutCalendar, CalendarPut{spec, expansion->instants, expansion->upto});
    ASSERT_TRUE(put.ok()) << put.message;
    rig.fire();
  }
  void choose(const std::string& name) {
    ASSERT_TRUE(rig.ask(kSetCalendar, CalendarChoice{"BTC/USD", name}).ok());
    rig.fire();
  }
  // As a server that does not sleep: each timer at its time.
  void pass_until(LogTime time) {
    for (;;) {
      LogTime due = 0;
      if (rig.kernel.first_due(due) == 0 || due > time) break;
      rig.now = std::max(rig.now, due);
      ASSERT_TRUE(rig.fire_one());
    }
    rig.now = std::max(rig.now, time);
  }
  // As one that was down meanwhile.
  void wake_at(LogTime time) {
    rig.now = time;
    rig.fire();
  }
  // Its opening call on Tuesday is extended at 8:00.
  void extend_opening() {
    declare(berlin());
    choose("berlin");
    pass_until(utc(kMonday, 8));
    ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
    ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
    pass_until(utc(kMonday + 1, 7, 55));
    ASSERT_NE(rig.enter(rig.sell("1", "200")), 0U);
    ASSERT_NE(rig.enter(rig.buy("1", "200")), 0U);
    pass_until(utc(kMonday + 1, 8));
    ASSERT_EQ(phase(), Phase::opening_call);
  }
  // Without a look at everything.
  void enter_fast(const NewOrder& order) { ASSERT_TRUE(rig.apply(rig.exchange, kNewOrder, packed(order)).ok()); }
  Phase phase() const { return rig.exchange.directory().listing(1).book.phase(); }
  NewOrder day_order(NewOrder order) {
    order.tif = TimeInForce::day;
    return order;
  }

  static constexpr int32_t kMonday = 20'794;  // 2026-12-07
  ExchangeRig rig;
};

TEST_F(ByCalendar, ADayGoesByItself) {
  ASSERT_EQ(weekday_of(kMonday), 0);
  declare(berlin());
  choose("berlin");
  EXPECT_EQ(phase(), Phase::closed);
  pass_until(utc(kMonday, 7, 55));
  EXPECT_EQ(phase(), Phase::opening_call);
  ASSERT_NE(rig.enter(rig.buy("2", "101")), 0U) << rig.last.message;
  ASSERT_NE(rig.enter(rig.sell("1", "99")), 0U);
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
  pass_until(utc(kMonday, 8));
  EXPECT_EQ(phase(), Phase::continuous);
  EXPECT_EQ(rig.exchange.trades_total(), 1U) << "the call was ended at its price";
  const uint64_t day = rig.enter(day_order(rig.sell("1", "105")));
  ASSERT_NE(day, 0U);
  EXPECT_EQ(rig.find(day)->expires_at, utc(kMonday, 16, 30) + 1);
  pass_until(utc(kMonday, 16, 25));
  EXPECT_EQ(phase(), Phase::closing_call);
  const uint64_t last = rig.enter(rig.buy("1", "105"));
  ASSERT_NE(last, 0U);
  rig.restore();
  pass_until(utc(kMonday, 16, 31));
  EXPECT_EQ(phase(), Phase::closed);
  EXPECT_EQ(rig.find(day)->status, OrderStatus::filled) << "a day order takes part in its last call";
  EXPECT_EQ(rig.exchange.trades_total(), 2U);
  pass_until(utc(kMonday + 1, 8));
  EXPECT_EQ(phase(), Phase::continuous);
  const uint64_t tuesday = rig.enter(day_order(rig.buy("1", "90")));
  pass_until(utc(kMonday + 1, 17));
  EXPECT_EQ(rig.find(tuesday)->status, OrderStatus::expired);
}

TEST_F(ByCalendar, TheTradeDateIsTheSessions) {
  declare(new_york());
  choose("new_york");
  pass_until(utc(kMonday, 23, 30));
  NewOrder order = day_order(rig.buy("1", "90"));
  order.client_id = "same";
  const uint64_t tuesday = rig.enter(order);
  ASSERT_NE(tuesday, 0U) << rig.last.message;
  EXPECT_EQ(rig.find(tuesday)->expires_at, utc(kMonday + 1, 22) + 1);
  // Past midnight UTC it is the same trade date, past the end of the session another one.
  pass_until(utc(kMonday + 1, 21, 59));
  EXPECT_EQ(rig.find(tuesday)->status, OrderStatus::open);
  EXPECT_EQ(rig.enter(order), 0U);
  EXPECT_EQ(rig.last.error, Errc::exists);
  pass_until(utc(kMonday + 1, 23, 1));
  EXPECT_EQ(phase(), Phase::continuous);
  EXPECT_EQ(rig.find(tuesday)->status, OrderStatus::expired);
  rig.restore();
  EXPECT_NE(rig.enter(order), 0U) << rig.last.message;
}

// A date's candle is over when its session is, not at midnight UTC; the call that ends the session is still of it.
TEST_F(ByCalendar, ACandleOfATradeDateIsOverWithItsSession) {
  declare(berlin());
  choose("berlin");
  const auto day = [&] {
    const auto row =
        rig.query<CandlesRow>(kQueryCandles, CandlesQuery{"BTC/USD", CandleWidth::day, 0, kAllTimes, 10, rig.now});
    return std::pair(row->day / kDayNs, row->candles.empty() ? 0 : row->candles.back().start / kDayNs);
  };
  pass_until(utc(kMonday, 16, 26));
  EXPECT_EQ(phase(), Phase::closing_call);
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U) << rig.last.message;
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  rig.now = utc(kMonday, 16, 30) + 5;
  EXPECT_EQ(day().first, kMonday) << "before the call has been ended";
  pass_until(utc(kMonday, 16, 31));
  EXPECT_EQ(rig.exchange.trades_total(), 1U);
  EXPECT_EQ(day(), std::pair(int64_t{kMonday + 1}, int64_t{kMonday}));
}

TEST_F(ByCalendar, AServerThatWasDownMakesUpForTheLastInstantAlone) {
  declare(berlin());
  choose("berlin");
  wake_at(utc(kMonday, 7, 58));
  EXPECT_EQ(phase(), Phase::opening_call);
  ASSERT_NE(rig.enter(rig.buy("1", "101")), 0U);
  const uint64_t day = rig.enter(day_order(rig.sell("1", "102")));
  ASSERT_NE(day, 0U);
  // Over the close, the night and the next opening.
  wake_at(utc(kMonday + 1, 10));
  EXPECT_EQ(phase(), Phase::continuous);
  EXPECT_EQ(rig.find(day)->status, OrderStatus::expired);
  EXPECT_EQ(rig.exchange.trades_total(), 0U);
  EXPECT_NE(rig.enter(rig.buy("1", "100")), 0U) << rig.last.message;
  rig.restore();
  // A crash in the closing call: it is ended late, with the day's orders.
  pass_until(utc(kMonday + 1, 16, 26));
  const uint64_t in_call = rig.enter(day_order(rig.sell("1", "100")));
  ASSERT_NE(in_call, 0U);
  wake_at(utc(kMonday + 1, 18));
  EXPECT_EQ(phase(), Phase::closed);
  EXPECT_EQ(rig.find(in_call)->status, OrderStatus::filled);
}

TEST_F(ByCalendar, NothingIsEnteredBetweenAnInstantAndItsPhase) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 9));
  rig.now = utc(kMonday, 16, 25) + 5;
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.last.error, Errc::overloaded);
  rig.fire();
  EXPECT_NE(rig.enter(rig.buy("1", "100")), 0U);
}

TEST_F(ByCalendar, OperatorsOverrideUntilTheNextInstantAndAHaltStays) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 10));
  EXPECT_EQ(phase(), Phase::continuous);
  EXPECT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::auction_call, false}).ok());
  pass_until(utc(kMonday, 12));
  EXPECT_EQ(phase(), Phase::auction_call);
  pass_until(utc(kMonday, 16, 25));
  EXPECT_EQ(phase(), Phase::closing_call);
  EXPECT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::halted, false}).ok());
  pass_until(utc(kMonday + 1, 10));
  EXPECT_EQ(phase(), Phase::halted);
  EXPECT_TRUE(mentions(rig.told[kMarketView.number],
                       R"({"event":"calendar_passed_over","symbol":"BTC/USD","phase":"continuous")"));
  EXPECT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::auction_call, false}).ok());
  pass_until(utc(kMonday + 1, 16, 25));
  EXPECT_EQ(phase(), Phase::closing_call);
}

TEST_F(ByCalendar, AnotherCalendarWhileItIsOpenHoldsAtOnce) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 14, 30));
  EXPECT_EQ(phase(), Phase::continuous);
  const uint64_t day = rig.enter(day_order(rig.buy("1", "90")));
  CalendarSpec shorter = berlin();
  shorter.dates = {{kMonday, {{9 * kHour, Phase::continuous}, {15 * kHour, Phase::closed}}}};
  declare(shorter);
  EXPECT_EQ(phase(), Phase::closed);
  EXPECT_EQ(rig.exchange.calendars().at(1).revision, 2U);
  EXPECT_EQ(rig.find(day)->status, OrderStatus::open) << "it lives as long as was said when it came";
  pass_until(utc(kMonday + 1, 8));
  EXPECT_EQ(phase(), Phase::continuous);
  EXPECT_EQ(rig.find(day)->status, OrderStatus::expired);
  choose("");
  pass_until(utc(kMonday + 1, 20));
  EXPECT_EQ(phase(), Phase::continuous) << "operators set its phases again";
  rig.restore();
}

TEST_F(ByCalendar, ACallOutsideItsBandIsExtendedOnceThenHalts) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 8));
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
  pass_until(utc(kMonday + 1, 7, 55));
  ASSERT_NE(rig.enter(rig.sell("1", "200")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "200")), 0U);
  pass_until(utc(kMonday + 1, 8));
  EXPECT_EQ(phase(), Phase::opening_call) << "extended";
  rig.restore();
  pass_until(utc(kMonday + 1, 8, 4, 59));
  EXPECT_EQ(phase(), Phase::opening_call);
  pass_until(utc(kMonday + 1, 8, 5));
  EXPECT_EQ(phase(), Phase::halted);
}

TEST_F(ByCalendar, ACloseOutsideItsBandHalts) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 8));
  ASSERT_NE(rig.enter(rig.sell("1", "100")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "100")), 0U);
  pass_until(utc(kMonday, 16, 25));
  ASSERT_NE(rig.enter(rig.sell("1", "200")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "200")), 0U);
  pass_until(utc(kMonday, 16, 31));
  EXPECT_EQ(phase(), Phase::halted);
}

// An operator's call in its place is not ended by what was to end the first one.
TEST_F(ByCalendar, TheEndOfAnExtendedCallEndsNoOther) {
  extend_opening();
  pass_until(utc(kMonday + 1, 8, 2));
  for (const Phase phase : {Phase::halted, Phase::auction_call})
    ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", phase, false}).ok()) << rig.last.message;
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, true}).ok());
  rig.restore();
  pass_until(utc(kMonday + 1, 8, 5));
  EXPECT_EQ(phase(), Phase::auction_call);
  pass_until(utc(kMonday + 1, 8, 7));
  EXPECT_EQ(phase(), Phase::halted);
}

TEST_F(ByCalendar, AnotherVersionDoesNotEndAnExtendedCallNorAnOperatorsPhase) {
  extend_opening();
  pass_until(utc(kMonday + 1, 8, 2));
  CalendarSpec other = berlin();
  other.holidays = {kMonday + 10};
  declare(other);
  choose("berlin");
  EXPECT_EQ(phase(), Phase::opening_call);
  other.dates = {
      {kMonday + 1,
       {{8 * kHour, Phase::opening_call}, {9 * kHour + 90, Phase::auction_call}, {17 * kHour, Phase::closed}}}};
  declare(other);
  EXPECT_EQ(phase(), Phase::opening_call) << "not even one that says another phase";
  pass_until(utc(kMonday + 1, 8, 5));
  EXPECT_EQ(phase(), Phase::halted);
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::opening_call, false}).ok());
  other.holidays = {kMonday + 11};
  declare(other);
  EXPECT_EQ(phase(), Phase::opening_call);
}

// Its end has to wait for a kill switch.
TEST_F(ByCalendar, TheEndOfAnExtendedCallIsNotLostWhileItWaits) {
  extend_opening();
  for (int n = 0; n < 600; ++n) enter_fast(rig.buy("0.1", "1"));
  pass_until(utc(kMonday + 1, 8, 2));
  CalendarSpec other = berlin();
  other.dates = {{kMonday + 1, {{8 * kHour, Phase::opening_call}, {17 * kHour, Phase::closed}}}};
  declare(other);
  rig.now = utc(kMonday + 1, 8, 5);
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", false, "gone"}).ok()) << rig.last.message;
  rig.told[kMarketView.number].clear();
  rig.restore();
  rig.fire();
  EXPECT_TRUE(mentions(rig.told[kMarketView.number], R"({"event":"uncrossed")"));
}

TEST_F(ByCalendar, ATurnWaitsWithoutTakingTurns) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 9));
  for (int n = 0; n < 4'000; ++n) enter_fast(rig.buy("0.1", "1"));
  rig.now = utc(kMonday, 16, 25) - 1;
  ASSERT_TRUE(rig.ask(kSwitch, SwitchChange{Whose::firm, "alpha", "", "", false, "gone"}).ok()) << rig.last.message;
  rig.now += 1;
  std::map<CommandType, int> fired;
  for (LogTime due = 0; rig.kernel.first_due(due) != 0 && due <= rig.now;) {
    ++fired[rig.kernel.timers.at(rig.kernel.first_due(due)).type];
    ASSERT_TRUE(rig.fire_one());
  }
  EXPECT_EQ(phase(), Phase::closing_call);
  EXPECT_GE(fired[kSweep], 7);
  EXPECT_LE(fired[kCalendarPhase], 2);
}

TEST_F(ByCalendar, WhereNoSessionHasBegunInAWhileItIsClosed) {
  CalendarSpec spec = berlin();
  for (int32_t day = kMonday - 30; day < kMonday + 30; ++day) spec.holidays.push_back(day);
  declare(spec);
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).ok());
  choose("berlin");
  EXPECT_EQ(phase(), Phase::closed);
}

// Asleep for weeks: what is known ends long ago, and is extended piece by piece.
TEST_F(ByCalendar, PhasesOfLongAgoAreNotGoneThrough) {
  declare(berlin());
  choose("berlin");
  pass_until(utc(kMonday, 10));
  rig.told[kMarketView.number].clear();
  wake_at(utc(kMonday + 28, 16, 27));
  const auto calendar = [&]() -> const Calendar& { return rig.exchange.calendars().at(1); };
  while (rig.now >= calendar().due) {
    EXPECT_TRUE(rig.told[kMarketView.number].empty());
    const LogTime from = calendar().upto;
    const auto more = expand_in_zone(calendar().spec, from, false);
    ASSERT_TRUE(rig.ask(kExtendCalendar, CalendarExtension{"berlin", 1, from, more->upto, more->instants}).ok());
    rig.fire();
  }
  EXPECT_EQ(rig.told[kMarketView.number].size(), 1U);
  EXPECT_EQ(phase(), Phase::closing_call);
}

// ---- ClOrdIDs by trade dates that change

// One whose trade date lasts for weeks is forgotten with it, and holds up nobody's.
TEST_F(ByCalendar, EveryClOrdIdIsForgottenWithItsOwnTradeDate) {
  CalendarSpec spec = berlin();
  for (int32_t day = kMonday - 30; day < kMonday + 21; ++day) spec.holidays.push_back(day);
  declare(spec);
  choose("berlin");
  ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).ok());
  ASSERT_NE(rig.enter(rig.buy("1", "90")), 0U) << rig.last.message;
  const TradingDay late{kMonday + 21, 0, utc(kMonday + 21, 16, 30) + 1};
  choose("");
  ASSERT_NE(rig.enter(rig.buy("1", "90")), 0U);
  ASSERT_NE(rig.enter(rig.buy("1", "90")), 0U);
  const Orders& orders = rig.exchange.orders();
  EXPECT_EQ(orders.used(1, utc_day(rig.now)), 2U);
  EXPECT_EQ(orders.forgets_at(), end_of_day(rig.now));
  rig.restore();
  EXPECT_EQ(orders.used(1, late), 1U);
  EXPECT_EQ(orders.forgets_at(), end_of_day(rig.now));
  pass_until(utc(kMonday + 1, 1));
  EXPECT_EQ(orders.used(1, utc_day(utc(kMonday, 1))), 0U);
  EXPECT_EQ(orders.used(1, late), 1U);
  rig.restore();
  EXPECT_EQ(orders.used(1, late), 1U);
  EXPECT_EQ(orders.forgets_at(), late.ends);
  pass_until(late.ends);
  EXPECT_EQ(orders.forgets_at(), 0);
}

class Resent : public ByCalendar {
 protected:
  Resent() {
    FixSpec spec;
    spec.name = "ALPHA";
    spec.comp_id = "HEPTANE";
    spec.firm = "alpha";
    EXPECT_TRUE(rig.ask(kPutFixSession, spec).ok());
    EXPECT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).ok());
  }
  // It has ended, whatever becomes of it. Whether it was entered.
  bool send(const std::string& client_id, LogTime first_asked, bool again) {
    FixInput input;
    input.session = "ALPHA";
    input.connection = 1;
    input.serial = ++serial_;
    input.had_in = serial_;
    input.next_in = serial_ + 1;
    FixRequest& asked = input.request.emplace();
    asked.possible_resend = again;
    asked.first_asked = first_asked;
    asked.client_id = client_id;
    asked.order = rig.buy("1", "90");
    asked.order.tif = TimeInForce::ioc;
    const uint64_t next = rig.exchange.orders().next_id();
    const Reply reply = rig.ask(kFixOrders, input);
    EXPECT_TRUE(reply.ok()) << reply.message;
    return rig.exchange.orders().next_id() != next;
  }
  void open() { ASSERT_TRUE(rig.ask(kSetPhase, PhaseChange{"BTC/USD", Phase::continuous, false}).ok()); }

  uint32_t serial_ = 0;
};

TEST_F(Resent, WhatCameUnderAnotherTradeDateIsNotDoneTwice) {
  declare(new_york());
  pass_until(utc(kMonday, 23));
  const LogTime before = rig.now;
  ASSERT_TRUE(send("a", before, false));
  EXPECT_FALSE(send("a", before, true));
  // From now on it is Tuesday, since 22:00.
  pass_until(utc(kMonday, 23, 30));
  choose("new_york");
  rig.restore();
  ASSERT_TRUE(send("b", rig.now, false)) << "the last one is of the date of now";
  EXPECT_FALSE(send("a", before, true));
  EXPECT_TRUE(send("c", rig.now, true)) << "what nobody can have done before";
  // And Monday again.
  const LogTime by_calendar = rig.now;
  pass_until(utc(kMonday, 23, 40));
  choose("");
  open();
  ASSERT_TRUE(send("d", rig.now, false));
  EXPECT_FALSE(send("b", by_calendar, true));
}

// No session has ended before: the trade date has no beginning that is known.
TEST_F(Resent, WhatCameBeforeTheFirstSessionOfACalendarIsNotDoneTwice) {
  CalendarSpec spec = berlin();
  for (int32_t day = kMonday - 30; day < kMonday + 3; ++day) spec.holidays.push_back(day);
  declare(spec);
  pass_until(utc(kMonday, 23));
  const LogTime before = rig.now;
  ASSERT_TRUE(send("a", before, false));
  pass_until(utc(kMonday + 1, 1));
  choose("berlin");
  open();
  ASSERT_TRUE(send("b", rig.now, false));
  EXPECT_FALSE(send("a", before, true));
  // Another version that says another date.
  const LogTime by_first = rig.now;
  pass_until(utc(kMonday + 1, 2));
  spec.holidays.push_back(kMonday + 3);
  declare(spec);
  open();
  ASSERT_TRUE(send("c", rig.now, false));
  EXPECT_FALSE(send("b", by_first, true));
}

TEST_F(ByCalendar, WhatIsKnownRunsOutAndIsExtended) {
  declare(berlin());
  choose("berlin");
  const auto calendar = [&]() -> const Calendar& { return rig.exchange.calendars().at(1); };
  const LogTime upto = calendar().upto;
  const auto extend = [&](uint32_t revision, LogTime from) {
    const auto more = expand_in_zone(calendar().spec, from, false);
    return rig.ask(kExtendCalendar, CalendarExtension{"berlin", revision, from, more->upto, more->instants});
  };
  EXPECT_EQ(extend(2, upto).error, Errc::stale);
  EXPECT_EQ(extend(1, upto + 1).error, Errc::stale);
  // Nobody has extended it: nothing is entered, and nothing is forgotten.
  wake_at(upto + 86'400 * kSecond + 10 * kHour * kSecond);
  EXPECT_EQ(rig.enter(rig.buy("1", "100")), 0U);
  EXPECT_EQ(rig.last.error, Errc::overloaded);
  EXPECT_TRUE(extend(1, upto).ok());
  rig.fire();
  EXPECT_GT(calendar().due, rig.now);
  rig.restore();
  EXPECT_EQ(extend(1, upto).error, Errc::stale);
  EXPECT_LE(calendar().instants.size(), 64U);
  const auto row = rig.query<CalendarRow>(kQueryCalendars, Page{"", "berlin", true});
  ASSERT_TRUE(row);
  EXPECT_EQ(row->symbols, std::vector<std::string>{"BTC/USD"});
  EXPECT_FALSE(row->next.empty());
}

TEST_F(ByCalendar, WhatIsWrongIsRefused) {
  const auto expansion = expand_in_zone(berlin(), rig.now, true);
  CalendarPut put{berlin(), expansion->instants, expansion->upto};
  put.spec.name = "al pha";
  EXPECT_EQ(rig.ask(kPutCalendar, put).error, Errc::invalid_argument);
  put.spec.name = "berlin";
  std::swap(put.instants[0], put.instants[1]);
  EXPECT_EQ(rig.ask(kPutCalendar, put).error, Errc::invalid_argument);
  put.instants.assign(kInstantsMax + 1, expansion->instants[0]);
  EXPECT_EQ(rig.ask(kPutCalendar, put).error, Errc::invalid_argument);
  EXPECT_EQ(rig.ask(kSetCalendar, CalendarChoice{"BTC/USD", "berlin"}).error, Errc::not_found);
  EXPECT_EQ(rig.ask(kSetCalendar, CalendarChoice{"NO", ""}).error, Errc::not_found);
  for (size_t n = 0; n < kCalendarsMax; ++n) {
    CalendarSpec spec = berlin();
    spec.name += std::to_string(n);
    ASSERT_TRUE(rig.ask(kPutCalendar, CalendarPut{spec, expansion->instants, expansion->upto}).ok());
  }
  EXPECT_EQ(rig.ask(kPutCalendar, CalendarPut{berlin(), expansion->instants, expansion->upto}).error, Errc::overloaded);
  EXPECT_TRUE(mentions(rig.trail.told, "exchange.calendar berlin0"));
}

}  // namespace
}  // namespace heptane::fintech::exchange
