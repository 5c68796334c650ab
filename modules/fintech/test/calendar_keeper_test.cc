// What keeps calendars known a week ahead: at every start and from time to time, piece by piece after a long pause; a zone that is gone
// and a full queue hold up nothing for ever.
#include <gtest/gtest.h>

#include "kernel/net/http/fake_context.h"
#include "modules/fintech/test/exchange_rig.h"
#include "modules/fintech/worker/calendar/keeper.h"
#include "modules/fintech/worker/calendar/zone.h"

namespace heptane::fintech::exchange {
namespace {

using test::ExchangeRig;
using test::kSecond;

constexpr int64_t kTenMinutes = 600 * kSecond;

class Keeper : public testing::Test {
 protected:
  Keeper() {
    context_.on_query = [this](const QueryRequest& asked) {
      Reply reply;
      rig_.exchange.query({asked.type, asked.payload.view(), {}}, reply);
      return reply;
    };
    context_.on_submit = [this](const Submission& submission) {
      ++submitted_;
      if (refused_) {
        Reply refused;
        refused.error = refused_;
        refused.message = "not now";
        return refused;
      }
      return rig_.apply(rig_.exchange, submission.type, submission.payload);
    };
    rig_.now = context_.utc_ns();
  }
  void declare(const std::string& name, const std::string& zone) {
    CalendarSpec spec;
    spec.name = name;
    spec.zone = zone;
    spec.sessions = {{0x1F, {{32'400, book::Phase::continuous}, {61'200, book::Phase::closed}}}};
    CalendarSpec known = spec;
    known.zone = "Europe/Berlin";
    const auto expansion = expand_in_zone(known, rig_.now, true);
    ASSERT_TRUE(rig_.ask(kPutCalendar, CalendarPut{spec, expansion->instants, expansion->upto}).ok());
  }
  void pass(int64_t ns) {
    rig_.now += ns;
    context_.pass_time(ns);
  }
  LogTime known(uint32_t number) const { return rig_.exchange.calendars().at(number).upto - rig_.now; }

  ExchangeRig rig_;
  std::vector<std::string> reported_;
  CalendarKeeper keeper_{expand_in_zone, [this](const std::string& line) { reported_.push_back(line); }};
  http::test::FakeContext context_{keeper_};
  size_t submitted_ = 0;
  std::optional<Errc> refused_;
};

TEST_F(Keeper, ExtendsWhatRunsShortAndNothingElse) {
  declare("berlin", "Europe/Berlin");
  keeper_.on_open(context_);
  context_.deliver();
  EXPECT_EQ(submitted_, 0U);
  EXPECT_EQ(context_.timers(), 1U);
  pass(2 * kDayNs);
  EXPECT_EQ(submitted_, 1U);
  EXPECT_GT(known(1), kCalendarLowNs);
  pass(kTenMinutes);
  EXPECT_EQ(submitted_, 1U);
}

TEST_F(Keeper, ALongPauseIsMadeUpForPieceByPiece) {
  for (int n = 0; n < 20; ++n) declare("c" + std::to_string(n), "Europe/Berlin");  // more than a page
  pass(100 * kDayNs);
  keeper_.on_open(context_);
  context_.deliver();
  EXPECT_EQ(submitted_, 20U * 13);
  for (uint32_t number = 1; number <= 20; ++number) {
    EXPECT_GT(known(number), kCalendarLowNs) << number;
    EXPECT_LE(rig_.exchange.calendars().at(number).instants.size(), 64U);
  }
}

TEST_F(Keeper, AZoneThatIsGoneHoldsUpNoOther) {
  declare("a", "Europe/Atlantis");
  declare("b", "Europe/Berlin");
  keeper_.on_open(context_);
  context_.deliver();
  pass(2 * kDayNs);
  EXPECT_LT(known(1), kCalendarLowNs);
  EXPECT_GT(known(2), kCalendarLowNs);
  EXPECT_EQ(context_.timers(), 1U);
  ASSERT_FALSE(reported_.empty());
  EXPECT_TRUE(reported_[0].starts_with("calendar a is not extended: ")) << reported_[0];
}

// What the exchange refuses is said, but for what somebody else was faster with.
TEST_F(Keeper, WhatIsRefusedIsReported) {
  declare("berlin", "Europe/Berlin");
  pass(2 * kDayNs);
  refused_ = Errc::stale;
  keeper_.on_open(context_);
  context_.deliver();
  EXPECT_TRUE(reported_.empty());
  refused_ = Errc::overloaded;
  pass(kTenMinutes);
  EXPECT_EQ(reported_, std::vector<std::string>{"calendar berlin is not extended: not now"});
  refused_.reset();
  pass(kTenMinutes);
  EXPECT_GT(known(1), kCalendarLowNs);
}

TEST_F(Keeper, AFullQueueIsTriedAgain) {
  declare("berlin", "Europe/Berlin");
  pass(2 * kDayNs);
  context_.queue_full = true;
  keeper_.on_open(context_);
  context_.deliver();
  EXPECT_EQ(submitted_, 0U);
  context_.queue_full = false;
  pass(kSecond);
  EXPECT_EQ(submitted_, 1U);
  EXPECT_GT(known(1), kCalendarLowNs);
}

}  // namespace
}  // namespace heptane::fintech::exchange
