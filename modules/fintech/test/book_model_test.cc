// The book against a naive second one: random commands full of edges, compared event for event, with the work cut into turns of any
// size and the book saved and restored between them. HEPTANE_TEST_SCALE sets how many, HEPTANE_TEST_SEED where they begin.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

#include "modules/fintech/domain/book/book.h"
#include "modules/fintech/domain/book/ladder.h"
#include "modules/fintech/test/book_driver.h"
#include "modules/fintech/test/naive_book.h"

namespace heptane::book::test {
namespace {

uint64_t scaled(uint64_t full) {
  const char* scale = std::getenv("HEPTANE_TEST_SCALE");
  return std::max<uint64_t>(
      1, static_cast<uint64_t>(static_cast<double>(full) * (scale == nullptr ? 1.0 : std::atof(scale))));
}

uint64_t first_seed() {
  const char* seed = std::getenv("HEPTANE_TEST_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}

struct World {
  uint64_t prices;  // how many different ones
  uint64_t owners;
  uint32_t orders_max;
  int64_t base;
};

// Draws commands that come near every rule.
class Draw {
 public:
  Draw(uint64_t seed, const World& world) : random_(seed), world_(world) {}

  SeededRandom& random() { return random_; }
  int64_t price() { return world_.base + static_cast<int64_t>(random_.below(world_.prices)); }
  uint64_t quantity() { return random_.one_in(6) ? 1 + random_.below(60) : 1 + random_.below(8); }
  uint64_t some_id() {
    if (next_id_ == 1 || random_.one_in(50)) return random_.one_in(2) ? 0 : next_id_ + 5;
    return next_id_ - 1 - random_.below(std::min<uint64_t>(next_id_ - 1, world_.orders_max * 2));
  }

  NewOrder order(Phase phase) {
    NewOrder o;
    o.order_id = random_.one_in(60) ? some_id() : next_id_++;
    o.side = random_.one_in(2) ? Side::buy : Side::sell;
    o.price = price();
    o.quantity = random_.one_in(200) ? (random_.one_in(2) ? 0 : UINT64_MAX / 2) : quantity();
    o.owner = static_cast<uint32_t>(random_.below(world_.owners));
    o.account = random_.below(4);
    o.self_trade = static_cast<SelfTrade>(random_.below(4));
    kind(o, phase);
    if (o.tif == TimeInForce::fok && random_.one_in(2)) o.quantity = 1 + random_.below(80);
    const bool lasting = o.type == OrderType::limit && o.tif <= TimeInForce::gtd;
    if (lasting ? random_.one_in(4) : random_.one_in(60)) o.display_quantity = 1 + random_.below(4);
    if (random_.one_in(is_call(phase) ? 60 : 12)) o.minimum_quantity = 1 + random_.below(10);
    if (lasting && !is_call(phase) ? random_.one_in(10) : random_.one_in(80)) o.post_only = true;
    if ((o.tif == TimeInForce::gtd) != random_.one_in(50)) o.expires_at = 1 + random_.below(40);
    return o;
  }

  Replace replace(uint64_t id) {
    const uint64_t display = random_.one_in(4) ? 1 + random_.below(3) : 0;
    return {id, price(), price(), random_.one_in(40) ? 0 : quantity(), display};
  }

 private:
  void kind(NewOrder& o, Phase phase) {
    if (random_.one_in(12)) {
      o.type = static_cast<OrderType>(random_.below(kTypes));
      o.tif = static_cast<TimeInForce>(random_.below(kTimesInForce));
      o.stop_price = price();
    } else if (is_call(phase)) {
      if (random_.one_in(4)) o.type = OrderType::market;
      if (random_.one_in(4)) o.tif = phase == Phase::opening_call ? TimeInForce::at_open : TimeInForce::day;
      if (random_.one_in(4) && phase == Phase::closing_call) o.tif = TimeInForce::at_close;
    } else {
      static constexpr OrderType kOften[] = {OrderType::limit, OrderType::limit,     OrderType::limit,
                                             OrderType::limit, OrderType::limit,     OrderType::market,
                                             OrderType::stop,  OrderType::stop_limit};
      o.type = kOften[random_.below(std::size(kOften))];
      if (o.type == OrderType::stop || o.type == OrderType::stop_limit) {
        o.stop_price = price();
        o.tif = static_cast<TimeInForce>(random_.below(3));
      } else if (random_.one_in(3)) {
        o.tif = static_cast<TimeInForce>(random_.below(5));
      }
    }
  }

  SeededRandom random_;
  World world_;
  uint64_t next_id_ = 1;
};

// What has happened: a comparison that never came to something proves nothing about it.
struct Seen {
  uint64_t events[static_cast<size_t>(EventType::outside_band) + 1] = {};
  uint64_t reasons[static_cast<size_t>(Reason::call_ended) + 1] = {};
  uint64_t rejects[kRejects] = {};
  uint64_t call_trades = 0;

  void add(Reject reject, const std::vector<Event>& all) {
    ++rejects[static_cast<size_t>(reject)];
    for (const Event& e : all) {
      ++events[static_cast<size_t>(e.type)];
      ++reasons[static_cast<size_t>(e.reason)];
      call_trades += e.type == EventType::trade && e.in_call ? 1 : 0;
    }
  }
};

class Model {
 public:
  Model(uint64_t seed, const World& world, Seen& seen)
      : seen_(seen), config_{world.orders_max, 20, seed}, draw_(seed, world), real_(config_), naive_(config_) {
    real_.set_random(&draw_.random(), 8);
  }

  void step() {
    SeededRandom& random = draw_.random();
    std::vector<Event> expected;
    const auto [did, wanted] = one(random, expected);
    ASSERT_EQ(did, wanted) << text(did) << " / " << text(wanted);
    const std::vector<Event>& got = real_.events();
    ASSERT_EQ(got.size(), expected.size());
    for (size_t i = 0; i < got.size(); ++i) ASSERT_TRUE(got[i] == expected[i]) << describe(got[i], expected[i]);
    seen_.add(did, got);
    if (random.one_in(50)) compare();
    if (random.one_in(400)) real_.move();
  }

  void compare() {
    ASSERT_TRUE(real_.book().consistent());
    ASSERT_EQ(real_.book().size(), naive_.size());
    for (const Side side : {Side::buy, Side::sell}) {
      const std::vector<LevelView> wanted = naive_.depth(side);
      std::vector<LevelView> rows(wanted.size() + 1);
      ASSERT_EQ(real_.book().depth(side, rows), wanted.size());
      for (size_t i = 0; i < wanted.size(); ++i) {
        ASSERT_EQ(rows[i].price, wanted[i].price);
        ASSERT_EQ(rows[i].visible, wanted[i].visible);
        ASSERT_EQ(rows[i].total, wanted[i].total);
        ASSERT_EQ(rows[i].orders, wanted[i].orders);
        ASSERT_EQ(real_.book().level(side, rows[i].price).total, wanted[i].total);
      }
    }
    const int64_t reference = draw_.price();
    const Indication got = real_.book().indication(reference, 1'000'000);
    const Indication wanted = naive_.indication(reference);
    ASSERT_EQ(got.complete, true);
    ASSERT_EQ(got.crosses, wanted.crosses);
    ASSERT_EQ(got.price, wanted.price);
    ASSERT_EQ(got.volume, wanted.volume);
    ASSERT_EQ(got.surplus, wanted.surplus);
    if (got.surplus > 0) {
      ASSERT_EQ(got.surplus_side, wanted.surplus_side);
    }
  }

 private:
  static std::string describe(const Event& a, const Event& b) {
    const auto words = [](const Event& e) {
      return "type " + std::to_string(static_cast<int>(e.type)) + " reason " +
             std::to_string(static_cast<int>(e.reason)) + " side " + std::to_string(static_cast<int>(e.side)) + " " +
             std::to_string(e.order_id) + "/" + std::to_string(e.other_id) + " at " + std::to_string(e.price) +
             " qty " + std::to_string(e.quantity) + " leaves " + std::to_string(e.leaves) + "/" +
             std::to_string(e.other_leaves) + " number " + std::to_string(e.number);
    };
    return "got " + words(a) + ", expected " + words(b);
  }

  // One that is there, most of the time.
  uint64_t id() {
    const std::vector<uint64_t> ids = naive_.ids();
    SeededRandom& random = draw_.random();
    return ids.empty() || random.one_in(6) ? draw_.some_id() : ids[random.below(ids.size())];
  }

  std::pair<Reject, Reject> one(SeededRandom& random, std::vector<Event>& expected) {
    uint64_t what = random.below(1000);
    const Phase now = real_.book().phase();
    if ((now == Phase::closed || now == Phase::halted) && random.one_in(5)) what = 985;
    if (what < 620) {
      const NewOrder order = draw_.order(real_.book().phase());
      return {real_.enter(order), naive_.enter(order, expected)};
    }
    if (what < 780) {
      const uint64_t order = id();
      const Reason reason = random.one_in(4) ? Reason::expired : Reason::cancelled;
      return {real_.cancel(order, reason), naive_.cancel(order, reason, expected)};
    }
    if (what < 960) {
      const Replace change = draw_.replace(id());
      return {real_.replace(change), naive_.replace(change, expected)};
    }
    if (what < 970) {
      const MassCancel which{random.below(3), static_cast<uint32_t>(random.below(3)), !random.one_in(3),
                             !random.one_in(3)};
      return {real_.mass_cancel(which), naive_.mass_cancel(which, expected)};
    }
    if (what < 976) {
      const Expire which{random.one_in(4), random.below(30)};
      return {real_.expire(which), naive_.expire(which, expected)};
    }
    if (what < 978 && random.one_in(3)) {
      naive_.clear_last_trade();
      return {real_.run([&](Book& book, Room) { return book.clear_last_trade(); }), Reject::none};
    }
    if (what < 980) {
      const int64_t price = draw_.price();
      naive_.set_last_trade(price);
      return {real_.run([&](Book& book, Room) { return book.set_last_trade(price); }), Reject::none};
    }
    if (what < 990) {
      const auto phase = random.one_in(2) ? Phase::continuous : static_cast<Phase>(random.below(kPhases));
      return {real_.set_phase(phase), naive_.set_phase(phase, expected)};
    }
    Uncross command{draw_.price(), INT64_MIN, INT64_MAX};
    if (random.one_in(4)) command.price_low = draw_.price(), command.price_high = draw_.price();
    return {real_.uncross(command), naive_.uncross(command, expected)};
  }

  Seen& seen_;
  Config config_;
  Draw draw_;
  Driver real_;
  NaiveBook naive_;
};

Seen agree(const World& world, uint64_t runs, uint64_t steps) {
  Seen seen;
  for (uint64_t run = 0; run < runs; ++run) {
    const uint64_t seed = first_seed() + run;
    SCOPED_TRACE("HEPTANE_TEST_SEED=" + std::to_string(seed));
    Model model(seed, world, seen);
    for (uint64_t i = 0; i < steps; ++i) {
      model.step();
      if (::testing::Test::HasFailure()) return seen;
    }
    model.compare();
  }
  return seen;
}

// Crowded: everything happens at few prices, the book is often full.
TEST(BookModel, AgreesWithANaiveOneAtFewPrices) {
  const Seen seen = agree({6, 4, 24, -3}, scaled(200), 5'000);
  if (scaled(200) < 200) return;
  for (size_t i = 0; i < std::size(seen.events); ++i) EXPECT_GT(seen.events[i], 50u) << "event type " << i;
  for (size_t i = 0; i < std::size(seen.reasons); ++i) EXPECT_GT(seen.reasons[i], 50u) << "reason " << i;
  for (size_t i = 0; i < kRejects; ++i) {
    const auto reject = static_cast<Reject>(i);
    const bool elsewhere = reject == Reject::frozen || reject == Reject::no_room || reject == Reject::bad_enum;
    if (!elsewhere) {
      EXPECT_GT(seen.rejects[i], 10u) << text(reject);
    }
  }
  EXPECT_GT(seen.call_trades, 1'000u);
}
TEST(BookModel, AgreesWithANaiveOneAtSomePrices) { agree({30, 6, 100, 1'000}, scaled(100), 5'000); }
TEST(BookModel, AgreesWithANaiveOneAtManyPrices) { agree({400, 3, 300, -200}, scaled(50), 5'000); }

TEST(BookModel, EveryKindInEveryPhase) {
  for (size_t n = 0; n < kPhases * kTypes * kTimesInForce; ++n) {
    const auto phase = static_cast<Phase>(n % kPhases);
    NewOrder order;
    order.order_id = order.quantity = 1;
    order.price = order.stop_price = 10;
    order.type = static_cast<OrderType>(n / kPhases % kTypes);
    order.tif = static_cast<TimeInForce>(n / kPhases / kTypes);
    order.expires_at = order.tif == TimeInForce::gtd ? 5 : 0;
    const Config config{.orders_max = 4};
    Driver real(config);
    NaiveBook naive(config);
    std::vector<Event> events;
    ASSERT_EQ(real.set_phase(phase), Reject::none);
    ASSERT_EQ(naive.set_phase(phase, events), Reject::none);
    const Reject wanted = admitted(phase, order.type, order.tif);
    EXPECT_EQ(real.enter(order), wanted) << n;
    EXPECT_EQ(naive.enter(order, events), wanted) << n;
  }
}

// Levels by the thousand, so that the tree splits, shares and shrinks.
TEST(BookLadder, AgreesWithAMap) {
  for (uint64_t run = 0; run < scaled(10); ++run) {
    SeededRandom random(first_seed() + run);
    constexpr uint32_t kLevels = 20'000;
    std::vector<Level> levels(kLevels);
    std::vector<TreeNode> nodes(Ladder::nodes_for(kLevels, 1));
    Pool<Level> level_pool(levels.data(), kLevels);
    Pool<TreeNode> node_pool(nodes.data(), static_cast<uint32_t>(nodes.size()));
    Ladder ladder;
    const bool high_first = random.one_in(2);
    ladder.open(&level_pool, &node_pool, high_first);
    std::map<int64_t, uint32_t> model;
    const uint64_t spread = 1 + random.below(1'000'000);
    uint64_t growing = 1;
    for (uint32_t i = 0; i < 60'000; ++i) {
      if (i % 6'000 == 0) growing = random.below(4);
      const auto price = static_cast<int64_t>(random.below(spread)) - 500;
      const auto found = model.lower_bound(price);
      // A full pool is the caller's to see: at its bound the ladder only shrinks.
      const bool grows = random.below(4) <= growing || found == model.end();
      if (grows && model.size() < kLevels) {
        const uint32_t level = ladder.make(price);
        ASSERT_EQ(level, model.emplace(price, level).first->second);
      } else if (found != model.end()) {
        ladder.erase(found->second);
        model.erase(found);
      }
      const auto here = model.find(price);
      ASSERT_EQ(ladder.find(price), here == model.end() ? kNone : here->second);
      const auto above = model.upper_bound(price);
      const auto from = model.lower_bound(price);
      const bool none = high_first ? from == model.begin() : above == model.end();
      ASSERT_EQ(ladder.worse_than(price), none ? kNone : high_first ? std::prev(from)->second : above->second);
      if (i % 1'000 == 0) {
        ASSERT_TRUE(ladder.consistent());
      }
    }
    for (const auto& [price, level] : model) ladder.erase(level);
    ASSERT_TRUE(ladder.consistent());
    ASSERT_EQ(level_pool.used(), 0u);
    ASSERT_EQ(node_pool.used(), 0u);
  }
}

}  // namespace
}  // namespace heptane::book::test
