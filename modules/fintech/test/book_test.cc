// The book's rules one by one, each as a small story that can be read.
#include "modules/fintech/domain/book/book.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>
#include <vector>

#include "modules/fintech/domain/book/book_c.h"
#include "modules/fintech/test/book_driver.h"

namespace heptane::book::test {
namespace {

constexpr Side kBuy = Side::buy;
constexpr Side kSell = Side::sell;

NewOrder limit(uint64_t id, Side side, int64_t price, uint64_t quantity, TimeInForce tif = TimeInForce::day) {
  NewOrder o;
  o.order_id = id;
  o.side = side;
  o.price = price;
  o.quantity = quantity;
  o.tif = tif;
  return o;
}

NewOrder of_owner(NewOrder o, uint32_t owner, SelfTrade rule) {
  o.owner = owner;
  o.self_trade = rule;
  return o;
}

NewOrder market(uint64_t id, Side side, int64_t protection, uint64_t quantity) {
  NewOrder o = limit(id, side, protection, quantity);
  o.type = OrderType::market;
  return o;
}

NewOrder stop(uint64_t id, Side side, int64_t stop_price, int64_t price, uint64_t quantity, OrderType type) {
  NewOrder o = limit(id, side, price, quantity);
  o.type = type;
  o.stop_price = stop_price;
  return o;
}

NewOrder iceberg(NewOrder o, uint64_t display) {
  o.display_quantity = display;
  return o;
}

// "+5 T3:4@10 -7(unfilled)": accepted, traded, ended.
std::string story(const std::vector<Event>& events) {
  static constexpr const char* kReasons[] = {"",         "cancelled", "mass",    "expired",    "reduced",
                                             "unfilled", "fok",       "minimum", "self_trade", "call_ended"};
  std::string text;
  for (const Event& e : events) {
    if (!text.empty()) text += ' ';
    const std::string id = std::to_string(e.order_id);
    switch (e.type) {
      case EventType::accepted: text += "+" + id; break;
      case EventType::replaced: text += "=" + id; break;
      case EventType::triggered: text += "!" + id; break;
      case EventType::trade:
        text +=
            id + "x" + std::to_string(e.other_id) + ":" + std::to_string(e.quantity) + "@" + std::to_string(e.price);
        break;
      case EventType::ended: text += "-" + id + "(" + kReasons[static_cast<size_t>(e.reason)] + ")"; break;
      case EventType::mass_done: text += "done:" + std::to_string(e.quantity); break;
      case EventType::uncrossed: text += "call:" + std::to_string(e.quantity) + "@" + std::to_string(e.price); break;
      case EventType::outside_band: text += "outside@" + std::to_string(e.price); break;
    }
  }
  return text;
}

class BookTest : public ::testing::Test {
 protected:
  BookTest() { EXPECT_EQ(book_.set_phase(Phase::continuous), Reject::none); }

  std::string enter(const NewOrder& order) {
    const Reject reject = book_.enter(order);
    return reject == Reject::none ? story(book_.events()) : std::string(text(reject));
  }
  std::string replace(uint64_t id, uint64_t quantity, int64_t price, uint64_t display = 0, int64_t stop_price = 0) {
    const Reject reject = book_.replace({id, price, stop_price, quantity, display});
    return reject == Reject::none ? story(book_.events()) : std::string(text(reject));
  }
  std::string uncross(int64_t reference) {
    EXPECT_EQ(book_.uncross({reference, INT64_MIN, INT64_MAX}), Reject::none);
    return story(book_.events());
  }
  void phase(Phase to) { ASSERT_EQ(book_.set_phase(to), Reject::none); }
  OrderView order(uint64_t id) {
    OrderView found;
    EXPECT_TRUE(book_.book().find(id, found)) << id;
    return found;
  }

  Driver book_{Config{.orders_max = 100}};
};

TEST_F(BookTest, FillsAtTheRestingPriceInPriceThenTimeOrder) {
  enter(limit(1, kSell, 11, 5));
  enter(limit(2, kSell, 10, 5));
  enter(limit(3, kSell, 10, 5));
  EXPECT_EQ(enter(limit(4, kBuy, 12, 12)), "+4 4x2:5@10 4x3:5@10 4x1:2@11");
  EXPECT_EQ(order(1).leaves, 3u);
}

TEST_F(BookTest, WhatCannotTradeRestsOrLeaves) {
  enter(limit(1, kSell, 10, 5));
  EXPECT_EQ(enter(limit(2, kBuy, 10, 8)), "+2 2x1:5@10");
  EXPECT_EQ(order(2).leaves, 3u);
  EXPECT_EQ(enter(limit(3, kSell, 10, 5, TimeInForce::ioc)), "+3 3x2:3@10 -3(unfilled)");
  EXPECT_EQ(enter(market(4, kBuy, 12, 5)), "+4 -4(unfilled)");
  enter(limit(5, kSell, 13, 5));
  EXPECT_EQ(enter(market(6, kBuy, 12, 5)), "+6 -6(unfilled)");
}

TEST_F(BookTest, AllOrNothingCountsWhatIsHidden) {
  enter(iceberg(limit(1, kSell, 10, 20), 5));
  EXPECT_EQ(enter(limit(2, kBuy, 10, 21, TimeInForce::fok)), "+2 -2(fok)");
  EXPECT_EQ(enter(limit(3, kBuy, 10, 18, TimeInForce::fok)), "+3 3x1:5@10 3x1:5@10 3x1:5@10 3x1:3@10");
}

TEST_F(BookTest, AllOrNothingLeavesOutOnesOwn) {
  enter(of_owner(limit(1, kSell, 10, 5), 7, SelfTrade::allow));
  enter(limit(2, kSell, 10, 5));
  const auto fok = [](uint64_t id, uint64_t quantity, SelfTrade rule) {
    return of_owner(limit(id, kBuy, 10, quantity, TimeInForce::fok), 7, rule);
  };
  EXPECT_EQ(enter(fok(3, 6, SelfTrade::cancel_oldest)), "+3 -3(fok)");
  EXPECT_EQ(enter(fok(4, 1, SelfTrade::cancel_newest)), "+4 -4(fok)");
  EXPECT_EQ(enter(fok(5, 5, SelfTrade::cancel_oldest)), "+5 -1(self_trade) 5x2:5@10");
}

TEST_F(BookTest, BehindAnOwnOrderNothingCanBeHad) {
  enter(iceberg(limit(1, kSell, 10, 20), 5));
  enter(of_owner(limit(2, kSell, 10, 1), 7, SelfTrade::allow));
  NewOrder o = of_owner(limit(3, kBuy, 10, 6, TimeInForce::fok), 7, SelfTrade::cancel_newest);
  EXPECT_EQ(enter(o), "+3 -3(fok)");
  o.order_id = 4;
  o.quantity = 5;
  EXPECT_EQ(enter(o), "+4 4x1:5@10");
}

TEST_F(BookTest, TheMinimumIsJudgedOnceOnEntry) {
  enter(limit(1, kSell, 10, 5));
  NewOrder o = limit(2, kBuy, 10, 20);
  o.minimum_quantity = 6;
  EXPECT_EQ(enter(o), "+2 -2(minimum)");
  o.order_id = 3;
  o.minimum_quantity = 5;
  EXPECT_EQ(enter(o), "+3 3x1:5@10");
  EXPECT_EQ(enter(limit(4, kSell, 10, 1)), "+4 4x3:1@10");
}

TEST_F(BookTest, AnIcebergsNextSliceStandsBehindEverybody) {
  enter(iceberg(limit(1, kSell, 10, 12), 5));
  enter(limit(2, kSell, 10, 5));
  LevelView level = book_.book().level(kSell, 10);
  EXPECT_EQ(level.visible, 10u);
  EXPECT_EQ(level.total, 17u);
  EXPECT_EQ(enter(limit(3, kBuy, 10, 11)), "+3 3x1:5@10 3x2:5@10 3x1:1@10");
  level = book_.book().level(kSell, 10);
  EXPECT_EQ(level.visible, 4u);
  EXPECT_EQ(level.total, 6u);
  EXPECT_EQ(enter(iceberg(limit(4, kSell, 10, 501), 5)), text(Reject::bad_display));
  EXPECT_EQ(enter(iceberg(limit(4, kSell, 10, 500), 5)), "+4");
}

TEST_F(BookTest, PostOnlyIsRefusedWhenItWouldTake) {
  enter(limit(1, kSell, 10, 5));
  NewOrder o = limit(2, kBuy, 10, 5);
  o.post_only = true;
  EXPECT_EQ(enter(o), text(Reject::would_take));
  o.price = 9;
  EXPECT_EQ(enter(o), "+2");
  EXPECT_EQ(replace(2, 5, 10), text(Reject::would_take));
  EXPECT_EQ(order(2).price, 9);
}

TEST_F(BookTest, SelfTradesEndTheNewestTheOldestOrBoth) {
  for (const auto& [rule, wanted] :
       {std::pair{SelfTrade::cancel_newest, "-2(self_trade)"}, std::pair{SelfTrade::cancel_oldest, "-1(self_trade)"},
        std::pair{SelfTrade::cancel_both, "-1(self_trade) -2(self_trade)"}}) {
    Driver book(Config{.orders_max = 10});
    book.set_phase(Phase::continuous);
    book.enter(of_owner(limit(1, kSell, 10, 5), 7, SelfTrade::allow));
    book.enter(of_owner(limit(2, kBuy, 10, 5), 7, rule));
    EXPECT_EQ(story(book.events()), std::string("+2 ") + wanted);
  }
  enter(of_owner(limit(1, kSell, 10, 5), 7, SelfTrade::cancel_both));
  EXPECT_EQ(enter(of_owner(limit(2, kBuy, 10, 5), 8, SelfTrade::cancel_both)), "+2 2x1:5@10");
}

TEST_F(BookTest, StopsTriggerOnTheLastTradeInPriceThenTimeOrder) {
  enter(limit(1, kSell, 10, 1));
  enter(limit(2, kSell, 11, 1));
  enter(limit(3, kSell, 12, 10));
  enter(stop(4, kBuy, 11, 20, 1, OrderType::stop));
  enter(stop(5, kBuy, 10, 20, 1, OrderType::stop));
  enter(stop(6, kBuy, 10, 12, 2, OrderType::stop_limit));
  EXPECT_EQ(enter(limit(7, kBuy, 10, 1)), "+7 7x1:1@10 !5 5x2:1@11 !6 6x3:2@12 !4 4x3:1@12");
  EXPECT_EQ(enter(stop(8, kSell, 12, 1, 1, OrderType::stop)), "+8 !8 -8(unfilled)");
}

TEST_F(BookTest, ATriggeredStopLimitRestsAtItsLimit) {
  enter(limit(1, kSell, 10, 1));
  enter(stop(2, kBuy, 10, 9, 4, OrderType::stop_limit));
  EXPECT_EQ(enter(limit(3, kBuy, 10, 1)), "+3 3x1:1@10 !2");
  EXPECT_EQ(order(2).type, OrderType::limit);
  EXPECT_EQ(book_.book().level(kBuy, 9).total, 4u);
}

TEST_F(BookTest, OnlyASmallerQuantityKeepsThePlace) {
  for (uint64_t id = 1; id <= 4; ++id) enter(limit(id, kSell, 10, 5));
  EXPECT_EQ(replace(1, 3, 10), "=1");     // smaller
  EXPECT_EQ(replace(2, 6, 10), "=2");     // larger
  EXPECT_EQ(replace(3, 5, 10), "=3");     // nothing
  EXPECT_EQ(replace(4, 3, 10, 2), "=4");  // smaller and an iceberg
  EXPECT_EQ(enter(limit(5, kBuy, 10, 17)), "+5 5x1:3@10 5x2:6@10 5x3:5@10 5x4:2@10 5x4:1@10");
}

TEST_F(BookTest, AReplaceNamesTheTotalAndMayTradeOrEndTheOrder) {
  enter(limit(1, kSell, 10, 5));
  enter(limit(2, kBuy, 9, 5));
  EXPECT_EQ(replace(2, 7, 10), "=2 2x1:5@10");
  EXPECT_EQ(order(2).leaves, 2u);
  EXPECT_EQ(replace(2, 5, 10), "-2(reduced)");
  EXPECT_EQ(replace(2, 5, 10), text(Reject::unknown_order));
}

TEST_F(BookTest, TheBookIsFullForWhatMayRest) {
  for (uint64_t id = 1; id <= 100; ++id) enter(limit(id, kSell, static_cast<int64_t>(id), 1));
  EXPECT_EQ(enter(limit(101, kSell, 50, 1)), text(Reject::book_full));
  EXPECT_EQ(enter(limit(101, kBuy, 1, 1)), text(Reject::book_full));
  EXPECT_EQ(enter(limit(101, kBuy, 1, 1, TimeInForce::ioc)), "+101 101x1:1@1");
  EXPECT_EQ(enter(limit(102, kBuy, 0, 1)), "+102");
}

TEST_F(BookTest, QuantitiesAndPricesMayBeAsLargeAsTheyGet) {
  const uint64_t most = book_.book().quantity_max();
  EXPECT_EQ(enter(limit(1, kSell, INT64_MAX, most + 1)), text(Reject::bad_quantity));
  for (uint64_t id = 1; id <= 99; ++id) EXPECT_EQ(enter(limit(id, kSell, INT64_MAX, most)), "+" + std::to_string(id));
  EXPECT_EQ(enter(limit(100, kBuy, INT64_MIN, most)), "+100");
  EXPECT_EQ(book_.book().level(kSell, INT64_MAX).total, 99 * most);
  EXPECT_TRUE(book_.book().consistent());
}

TEST_F(BookTest, ACallFindsThePriceThatTradesMost) {
  phase(Phase::auction_call);
  enter(limit(1, kBuy, 12, 5));
  enter(limit(2, kBuy, 11, 5));
  enter(limit(3, kBuy, 10, 5));
  enter(limit(4, kSell, 9, 4));
  enter(limit(5, kSell, 11, 4));
  // At 11: buys 10, sells 8. At 10: 15 and 4. At 12: 5 and 8.
  const Indication would = book_.book().indication(0, 100);
  EXPECT_EQ(would.price, 11);
  EXPECT_EQ(would.volume, 8u);
  EXPECT_EQ(would.surplus, 2u);
  EXPECT_EQ(would.surplus_side, kBuy);
  EXPECT_FALSE(book_.book().indication(0, 1).complete);
  EXPECT_EQ(uncross(0), "call:8@11 1x4:4@11 1x5:1@11 2x5:3@11");
  EXPECT_EQ(order(2).leaves, 2u);
}

TEST_F(BookTest, OfPricesThatTradeAsMuchTheSurplusThenTheReferenceDecides) {
  struct Case {
    std::vector<NewOrder> orders;
    int64_t reference;
    int64_t price;
  };
  const NewOrder buy = limit(1, kBuy, 14, 5);
  const NewOrder sell = limit(2, kSell, 10, 5);
  const Case cases[] = {
      {{buy, sell}, 12, 12},  // nothing is left over: the reference
      {{buy, sell}, 99, 14},  // as near to it as orders are
      {{buy, sell}, 1, 10},
      {{limit(1, kBuy, 14, 6), sell}, 1, 14},                                // buys are left over: the highest
      {{buy, limit(2, kSell, 10, 6)}, 99, 10},                               // sells are: the lowest
      {{buy, sell, limit(3, kBuy, 10, 1), limit(4, kSell, 14, 1)}, 10, 10},  // even: nearest
      {{buy, sell, limit(3, kBuy, 10, 1), limit(4, kSell, 14, 1)}, 12, 12},  // nothing is left over between them
      {{buy, sell, limit(3, kBuy, 11, 1), limit(4, kSell, 12, 1)}, 20, 14},  // a tie of the surplus: nearest
      {{buy, sell, limit(3, kBuy, 11, 1), limit(4, kSell, 12, 2)},
       20,
       11},  // one less on the buy side: the highest of these
  };
  for (const Case& c : cases) {
    Driver book(Config{.orders_max = 10});
    book.set_phase(Phase::opening_call);
    for (const NewOrder& order : c.orders) ASSERT_EQ(book.enter(order), Reject::none);
    EXPECT_EQ(book.book().indication(c.reference, 100).price, c.price) << &c - cases;
  }
}

TEST_F(BookTest, InACallItsOwnOrdersGoFirstAndEndWithIt) {
  phase(Phase::opening_call);
  enter(limit(1, kBuy, 12, 5));
  NewOrder open = limit(2, kBuy, 11, 5, TimeInForce::at_open);
  enter(open);
  enter(market(3, kBuy, 11, 5));
  enter(limit(4, kSell, 10, 8));
  EXPECT_EQ(uncross(11), "call:8@11 2x4:5@11 3x4:3@11 -3(call_ended)");
  phase(Phase::continuous);
  EXPECT_EQ(book_.book().size(), 1u);
}

TEST_F(BookTest, AnIcebergTakesPartWithAllOfItAndKeepsItsPlace) {
  phase(Phase::closing_call);
  enter(iceberg(limit(1, kSell, 10, 20), 5));
  enter(limit(2, kSell, 10, 5));
  enter(limit(3, kBuy, 10, 18));
  EXPECT_EQ(uncross(10), "call:18@10 3x1:18@10");
  EXPECT_EQ(order(1).visible, 2u);
  phase(Phase::continuous);
  EXPECT_EQ(enter(limit(4, kBuy, 10, 3)), "+4 4x1:2@10 4x2:1@10");
}

TEST_F(BookTest, APriceOutsideTheBandTradesNothing) {
  phase(Phase::auction_call);
  enter(limit(1, kBuy, 12, 5));
  enter(limit(2, kSell, 12, 5));
  const uint64_t before = book_.book().hash();
  EXPECT_EQ(book_.uncross({10, 9, 11}), Reject::none);
  EXPECT_EQ(story(book_.events()), "outside@12");
  EXPECT_EQ(book_.book().hash(), before);
  EXPECT_EQ(book_.set_phase(Phase::continuous), Reject::call_not_ended);
  phase(Phase::halted);
  EXPECT_EQ(book_.set_phase(Phase::continuous), Reject::bad_phase);
}

TEST_F(BookTest, StopsAreJudgedOnceAfterACall) {
  enter(stop(1, kBuy, 12, 20, 5, OrderType::stop));
  phase(Phase::auction_call);
  enter(limit(2, kBuy, 12, 5));
  enter(limit(3, kSell, 12, 5));
  enter(limit(4, kSell, 13, 2));
  EXPECT_EQ(uncross(12), "call:5@12 2x3:5@12");
  phase(Phase::continuous);
  EXPECT_EQ(story(book_.events()), "!1 1x4:2@13 -1(unfilled)");
}

TEST_F(BookTest, AHaltKeepsOrdersAndTakesCancels) {
  enter(limit(1, kBuy, 10, 5));
  phase(Phase::halted);
  EXPECT_EQ(enter(limit(2, kBuy, 10, 5)), text(Reject::halted));
  EXPECT_EQ(replace(1, 4, 10), text(Reject::halted));
  EXPECT_EQ(book_.cancel(1), Reject::none);
}

TEST_F(BookTest, WhatIsForTheDayOrDatedExpires) {
  enter(limit(1, kBuy, 10, 5));
  enter(limit(2, kBuy, 9, 5, TimeInForce::gtc));
  for (uint64_t id = 3; id <= 5; ++id) {
    NewOrder o = limit(id, kSell, 20, 5, TimeInForce::gtd);
    o.expires_at = id * 100;
    enter(o);
  }
  ASSERT_EQ(book_.expire({true, 400}), Reject::none);
  EXPECT_EQ(story(book_.events()), "-1(expired) -3(expired) -4(expired) done:3");
}

TEST_F(BookTest, AMassCancelTakesWhatItNames) {
  enter(of_owner(limit(1, kBuy, 10, 5), 7, SelfTrade::allow));
  enter(of_owner(limit(2, kSell, 20, 5), 7, SelfTrade::allow));
  enter(of_owner(stop(3, kBuy, 30, 31, 5, OrderType::stop), 7, SelfTrade::allow));
  enter(of_owner(limit(4, kBuy, 11, 5), 8, SelfTrade::allow));
  ASSERT_EQ(book_.mass_cancel({.owner = 7, .sells = false}), Reject::none);
  EXPECT_EQ(story(book_.events()), "-1(mass) -3(mass) done:2");
}

// A thousand orders a turn, whatever the work; while it lasts the book takes nothing else.
TEST(BookTurns, NoTurnTouchesMoreThanItMay) {
  constexpr uint32_t kOrders = 2'500;
  for (const char* what : {"mass", "expire", "sweep", "fok", "call"}) {
    Driver driver(Config{.orders_max = kOrders + 10});
    const std::string kind = what;
    driver.set_phase(kind == "call" ? Phase::opening_call : Phase::continuous);
    for (uint64_t id = 1; id <= kOrders; ++id) driver.enter(limit(id, kSell, static_cast<int64_t>(id % 7), 1));
    Book& book = driver.book();
    std::vector<Event> events(4'000);
    const Room room{events};
    Outcome outcome;
    if (kind == "mass") outcome = book.mass_cancel({}, room);
    if (kind == "expire") outcome = book.expire({true, 0}, room);
    if (kind == "sweep") outcome = book.enter(limit(9'000, kBuy, 10, kOrders, TimeInForce::ioc), room);
    if (kind == "fok")
      outcome =
          book.enter(of_owner(limit(9'000, kBuy, 10, kOrders, TimeInForce::fok), 7, SelfTrade::cancel_oldest), room);
    if (kind == "call") {
      EXPECT_EQ(driver.enter(limit(9'000, kBuy, 10, kOrders)), Reject::none);
      outcome = book.uncross({}, room);
    }
    int turns = 1;
    for (; outcome.more; ++turns) {
      EXPECT_LE(outcome.events, 1'002u) << what;
      EXPECT_EQ(book.enter(limit(9'001, kBuy, 1, 1), room).reject, Reject::frozen);
      outcome = book.proceed(room);
    }
    EXPECT_EQ(turns, kind == "fok" ? 5 : 3) << what;
    EXPECT_EQ(book.size(), 0u) << what;
  }
}

// Between any two turns the book may be saved and go on elsewhere.
TEST(BookTurns, WorkGoesOnWhereItWasRestored) {
  for (const SelfTrade rule : {SelfTrade::allow, SelfTrade::cancel_oldest, SelfTrade::cancel_newest}) {
    Driver driver(Config{.orders_max = 100});
    driver.set_phase(Phase::continuous);
    for (uint64_t id = 1; id <= 30; ++id) driver.enter(iceberg(limit(id, kSell, static_cast<int64_t>(id % 4), 3), 1));
    driver.set_room(kEventsMin, 1);
    driver.move_between_turns();
    driver.enter(of_owner(limit(100, kBuy, 3, 90, TimeInForce::fok), 7, rule));
    uint64_t traded = 0;
    for (const Event& e : driver.events()) traded += e.type == EventType::trade ? e.quantity : 0;
    EXPECT_EQ(traded, 90u);
    driver.enter(of_owner(limit(101, kBuy, 3, 1, TimeInForce::fok), 7, rule));
    EXPECT_EQ(story(driver.events()), "+101 -101(fok)");
  }
}

TEST(BookTurns, ARoomTooSmallIsRefused) {
  Driver driver(Config{.orders_max = 10});
  Event events[kEventsMin];
  EXPECT_EQ(driver.book().set_phase(Phase::continuous, {std::span(events, kEventsMin - 1)}).reject, Reject::no_room);
  EXPECT_EQ(driver.book().set_phase(Phase::continuous, {events, 0}).reject, Reject::no_room);
  EXPECT_EQ(driver.book().set_phase(static_cast<Phase>(9), {events}).reject, Reject::bad_enum);
}

TEST(BookMemory, IsGivenOrThereIsNoBook) {
  EXPECT_EQ(Book::bytes_for({.orders_max = 0}), 0u);
  EXPECT_EQ(Book::bytes_for({.orders_max = kOrdersMax + 1}), 0u);
  const Config config{.orders_max = 10};
  std::vector<std::byte> memory(Book::bytes_for(config) - 1);
  EXPECT_FALSE(Book(config, memory).valid());
}

TEST(BookSaved, DamageAndOtherBooksAreRefused) {
  Driver driver(Config{.orders_max = 20});
  driver.set_phase(Phase::continuous);
  for (uint64_t id = 1; id <= 12; ++id) driver.enter(limit(id, kSell, static_cast<int64_t>(10 + id), id));
  const std::vector<std::byte> bytes = saved(driver.book());
  Driver other(Config{.orders_max = 20, .index_key = 5});
  ASSERT_EQ(restored(other.book(), bytes), RestoreResult::ok);
  EXPECT_EQ(other.book().hash(), driver.book().hash());
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::vector<std::byte> damaged = bytes;
    damaged[i] ^= std::byte{1};
    EXPECT_NE(restored(other.book(), damaged), RestoreResult::ok) << i;
    EXPECT_EQ(other.book().size(), 0u);
    EXPECT_NE(restored(other.book(), std::span(bytes).first(i)), RestoreResult::ok) << i;
  }
  Driver small(Config{.orders_max = 11});
  EXPECT_EQ(restored(small.book(), bytes), RestoreResult::too_many_orders);
}

// The C face: the same book.
TEST(BookC, SavesAndRestoresTheSameBook) {
  const heptane_book_config config = {100, 100, 0};
  std::vector<char> memory(2 * heptane_book_bytes(&config));
  const size_t half = memory.size() / 2;
  heptane_book* book = heptane_book_open(&config, memory.data(), half);
  heptane_book* other = heptane_book_open(&config, memory.data() + half, half);
  ASSERT_TRUE(book != nullptr && other != nullptr);
  heptane_book_event events[16];
  const heptane_book_room room = {events, 16, 1'000};
  EXPECT_EQ(heptane_book_set_phase(book, HEPTANE_BOOK_CONTINUOUS, room).reject, 0);
  heptane_book_order order = {};
  order.order_id = 1;
  order.price = 10;
  order.quantity = 5;
  EXPECT_EQ(heptane_book_enter(book, &order, room).events, 1u);
  EXPECT_STREQ(heptane_book_text(heptane_book_enter(book, &order, room).reject), text(Reject::duplicate_order));
  heptane_book_view view;
  EXPECT_EQ(heptane_book_find(book, 2, &view), 0);
  EXPECT_EQ(heptane_book_find(book, 1, &view), 1);
  EXPECT_EQ(view.leaves, 5u);
  order.order_id = 2;
  order.side = HEPTANE_BOOK_SELL;
  EXPECT_EQ(heptane_book_enter(book, &order, room).events, 2u);
  EXPECT_EQ(events[1].type, HEPTANE_BOOK_TRADE);
  int64_t last = 0;
  EXPECT_EQ(heptane_book_last_trade(book, &last), 1);
  EXPECT_EQ(last, 10);
  EXPECT_EQ(heptane_book_clear_last_trade(book).reject, 0);
  EXPECT_EQ(heptane_book_last_trade(book, &last), 0);
  std::string bytes;
  const auto write = [](void* to, const void* data, size_t size) {
    static_cast<std::string*>(to)->append(static_cast<const char*>(data), size);
    return 1;
  };
  const auto read = [](void* from, void* data, size_t size) {
    auto& left = *static_cast<std::string*>(from);
    if (left.size() < size) return 0;
    left.copy(static_cast<char*>(data), size);
    left.erase(0, size);
    return 1;
  };
  EXPECT_EQ(heptane_book_save(book, write, &bytes), 1);
  EXPECT_EQ(heptane_book_restore(other, read, &bytes), 0);
  EXPECT_EQ(heptane_book_hash(other), heptane_book_hash(book));
}

}  // namespace
}  // namespace heptane::book::test
