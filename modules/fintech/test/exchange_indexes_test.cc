// Numbers in their order, names by hash, and what notes say: each beside something plainer.
#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>

#include "kernel/base/random.h"
#include "modules/fintech/machine/exchange/ascending_numbers.h"
#include "modules/fintech/machine/exchange/name_index.h"
#include "modules/fintech/machine/exchange/notes.h"

namespace heptane::fintech::exchange {
namespace {

// Most of them go, from anywhere, so that pieces empty and join.
TEST(AscendingNumbers, AreASet) {
  SeededRandom random(5);
  for (const uint64_t keep : {3, 50, 900}) {
    AscendingNumbers numbers;
    std::set<uint64_t> set;
    uint64_t next = 0;
    for (int step = 0; step < 20'000; ++step) {
      if (set.empty() || random.below(1'000) < (set.size() < keep ? 900 : 100)) {
        next += 1 + random.below(5);
        numbers.append(next);
        set.insert(next);
      } else {
        auto gone = set.lower_bound(random.below(next + 1));
        if (gone == set.end()) gone = set.begin();
        numbers.erase(*gone);
        set.erase(gone);
      }
      ASSERT_EQ(numbers.size(), set.size());
      const uint64_t from = random.below(next + 2);
      const auto after = set.upper_bound(from);
      ASSERT_EQ(numbers.after(from), after == set.end() ? 0 : *after);
    }
    uint64_t walked = 0;
    for (const uint64_t number : set) ASSERT_EQ(walked = numbers.after(walked), number);
    EXPECT_EQ(numbers.after(walked), 0U);
    EXPECT_EQ(numbers.after(UINT64_MAX), 0U);
  }
}

// Whichever way they go, what is left lies together.
TEST(AscendingNumbers, TakeLittleWhenFewAreLeft) {
  constexpr uint64_t kMany = 256 * 100;
  for (const bool from_the_front : {true, false}) {
    AscendingNumbers numbers;
    for (uint64_t number = 1; number <= kMany; ++number) numbers.append(number);
    EXPECT_EQ(numbers.pieces(), 100U);
    for (uint64_t n = 1; n <= kMany; ++n)
      if (const uint64_t number = from_the_front ? n : kMany + 1 - n; number % 256 != 0) numbers.erase(number);
    EXPECT_EQ(numbers.size(), 100U);
    EXPECT_LE(numbers.pieces(), 4U);
    for (uint64_t at = numbers.after(0); at != 0; at = numbers.after(at)) EXPECT_EQ(at % 256, 0U);
  }
}

TEST(NameIndex, FindsWhatItsOwnerHas) {
  SeededRandom random(6);
  std::vector<std::pair<uint64_t, std::string>> rows;
  std::map<std::pair<uint64_t, std::string>, uint32_t> there;
  NameIndex index(7);
  const auto find = [&](uint64_t owner, const std::string& name) {
    return index.find(owner, name, [&](uint32_t row) { return rows[row] == std::pair(owner, name); });
  };
  for (int step = 0; step < 20'000; ++step) {
    const uint64_t owner = random.below(3);
    const std::string name(1 + random.below(20), static_cast<char>('a' + random.below(20)));
    const auto found = there.find({owner, name});
    ASSERT_EQ(find(owner, name), found == there.end() ? NameIndex::kNone : found->second);
    if (found != there.end()) {
      index.erase(owner, name, found->second);
      there.erase(found);
    } else {
      index.insert(owner, name, static_cast<uint32_t>(rows.size()));
      there[{owner, name}] = static_cast<uint32_t>(rows.size());
      rows.emplace_back(owner, name);
    }
  }
  EXPECT_GT(there.size(), 100U);
}

class Texts final : public RecordWriter {
 public:
  bool wants() const override { return true; }
  bool full() const override { return false; }
  void skip() override { ++skipped; }
  void add(const ViewRecord& record) override {
    keys.emplace_back(as_text(record.key));
    values.emplace_back(as_text(record.value));
  }
  std::vector<std::string> keys;
  std::vector<std::string> values;
  int skipped = 0;
};

Texts rendered(Bytes note, ViewId view) {
  Texts out;
  LoggedCommand logged;
  logged.results = {note};
  render_exchange(logged, view.number, out);
  return out;
}

OrderTold told() {
  OrderTold told;
  told.event = OrderEvent::trade;
  told.exec_id = 7;
  told.order_id = 300;
  told.client_id = "c-1";
  told.firm = "alpha";
  told.account = "main";
  told.symbol = "BTC/USD";
  told.type = book::OrderType::stop_limit;
  told.tif = book::TimeInForce::gtc;
  told.price = 10'050;
  told.stop_price = -5;
  told.quantity = 2'000;
  told.filled = 1'500;
  told.leaves = 500;
  told.traded = Int128{10'050} * 1'500;
  told.price_scale = 2;
  told.quantity_scale = 3;
  told.quote_scale = 2;
  told.trade_id = 1'000'000'000'000;
  told.last_price = 10'050;
  told.last_quantity = 1'500;
  told.as = FillAs::taker;
  told.fee = (Uint128{1} << 90) + 1;
  told.rebate = 0;
  return told;
}

// The texts are those for ever.
TEST(ExchangeNotes, AreTheSameTextsForEver) {
  Notes notes;
  notes.add(told());
  notes.add(TradeTold{9, "BTC/USD", -10'050, 1'500, 15'075, book::Side::sell, false, 300, 200, 2, 3, 2});
  OrderTold ended = told();
  ended.event = OrderEvent::ended;
  ended.stop_price = 0;
  ended.reason = book::Reason::call_ended;
  ended.cancelled = 500;
  notes.add(ended);
  EXPECT_EQ(notes.count(0), 2U);
  EXPECT_EQ(notes.count(1), 1U);
  const Texts orders = rendered(notes.view(), kOrdersView);
  EXPECT_EQ(orders.keys, (std::vector<std::string>{"300", "300"}));
  EXPECT_EQ(orders.values[0],
            R"({"event":"trade","exec_id":"7","order_id":"300","cl_ord_id":"c-1","firm":"alpha","account":"main",)"
            R"("symbol":"BTC/USD","side":"buy","type":"stop_limit","time_in_force":"gtc","status":"open",)"
            R"("price":"100.50","stop_price":"-0.05","quantity":"2.000","filled":"1.500","leaves":"0.500",)"
            R"("average_price":"100.500000","trade_id":"1000000000000","last_price":"100.50","last_quantity":"1.500",)"
            R"("liquidity":"taker","fee":"12379400392853802748991242.25"})");
  EXPECT_EQ(orders.values[1],
            R"({"event":"ended","exec_id":"7","order_id":"300","cl_ord_id":"c-1","firm":"alpha","account":"main",)"
            R"("symbol":"BTC/USD","side":"buy","type":"stop_limit","time_in_force":"gtc","status":"open",)"
            R"("price":"100.50","quantity":"2.000","filled":"1.500","leaves":"0.500","average_price":"100.500000",)"
            R"("reason":"call_ended","cancelled_quantity":"0.500"})");
  const Texts trades = rendered(notes.view(), kTradesView);
  EXPECT_EQ(trades.values[0], R"({"event":"trade","trade_id":"9","symbol":"BTC/USD","price":"-100.50",)"
                              R"("quantity":"1.500","notional":"150.75","aggressor":"sell","buy_order_id":"300",)"
                              R"("sell_order_id":"200"})");
}

// Cut off anywhere, and with any byte changed, it is read without harm.
TEST(ExchangeNotes, WhatCannotBeReadHarmsNobody) {
  Notes notes;
  notes.add(told());
  const std::string whole(as_text(notes.view()));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_TRUE(rendered(as_bytes(whole).first(size), kOrdersView).values.empty()) << size;
  for (size_t at = 1; at < whole.size(); ++at)
    for (const uint8_t bits : {0x01, 0x80, 0xFF}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ bits);
      (void)rendered(as_bytes(changed), kOrdersView);
    }
}

TEST(JsonRecord, TextsAreEscapedAndBounded) {
  JsonRecord record("killed");
  record.text("reason", "\"a\\b\"\n\xC3\xA9").number("by", 12).price("p", -1, 2).amount("a", 5, 0);
  EXPECT_EQ(record.end(), R"({"event":"killed","reason":"\"a\\b\"???","by":"12","p":"-0.01","a":"5"})");
}

}  // namespace
}  // namespace heptane::fintech::exchange
