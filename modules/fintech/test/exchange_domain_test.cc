// What an instrument may be and what an order may be for it; fees, however an order fills.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernel/base/random.h"
#include "modules/fintech/domain/exchange/fees.h"
#include "modules/fintech/domain/exchange/holds.h"
#include "modules/fintech/domain/exchange/instrument.h"
#include "modules/fintech/domain/exchange/limits.h"

namespace heptane::fintech::exchange {
namespace {

// Bitcoin against dollars: prices in cents, quantities in thousandths.
Instrument bitcoin() {
  Instrument i;
  i.symbol = "BTC/USD";
  i.base_asset = 1, i.quote_asset = 2;
  i.base_scale = 8, i.quote_scale = 2;
  i.price_scale = 2, i.quantity_scale = 3;
  i.steps = {{0, 1'000}, {1'000'000, 10'000}};
  i.lot = 100, i.quantity_min = 100, i.quantity_max = 1'000'000'000;
  i.price_min = 1'000, i.price_max = 100'000'000;
  i.notional_min = 1'000;
  i.collar_ppm = 50'000, i.call_band_ppm = 100'000;
  return i;
}

std::string problem(const Instrument& i) {
  const Result<bool> checked = check_instrument(i);
  return checked.ok() ? "" : checked.error().message;
}

std::string refusal(const Instrument& i, int64_t price, uint64_t quantity) {
  const std::optional<Error> error = check_order(i, price, quantity);
  return error ? error->message : "";
}

TEST(Instrument, IsRefusedWithWhatIsWrong) {
  EXPECT_EQ(problem(bitcoin()), "");
  const auto with = [](auto change) {
    Instrument i = bitcoin();
    change(i);
    return problem(i);
  };
  EXPECT_NE(with([](Instrument& i) { i.symbol = "BTC USD"; }), "");
  EXPECT_NE(with([](Instrument& i) { i.quote_asset = 1; }), "");
  EXPECT_NE(with([](Instrument& i) { i.price_scale = 19; }), "");
  EXPECT_NE(with([](Instrument& i) { i.quantity_scale = 9; }), "");
  EXPECT_NE(with([](Instrument& i) { i.steps.clear(); }), "");
  EXPECT_NE(with([](Instrument& i) { i.steps[0].tick = 0; }), "");
  EXPECT_NE(with([](Instrument& i) { i.steps[1].from = 0; }), "");
  EXPECT_NE(with([](Instrument& i) { i.steps[1].from = 1'001'000; }), "");
  EXPECT_NE(with([](Instrument& i) { i.steps[0].from = 2'000; }), "");
  EXPECT_NE(with([](Instrument& i) { i.lot = 0; }), "");
  EXPECT_NE(with([](Instrument& i) { i.quantity_min = 150; }), "");
  EXPECT_NE(with([](Instrument& i) { i.price_min = 1'500; }), "");
  EXPECT_NE(with([](Instrument& i) { i.collar_ppm = 0; }), "");
  EXPECT_EQ(with([](Instrument& i) { i.steps[0].from = i.price_min = -1'000; }),
            "price_min is -10.00: prices of 0 and below need settlement = net");
  EXPECT_EQ(with([](Instrument& i) {
              i.steps[0].from = i.price_min = -1'000;
              i.settlement = Settlement::net;
            }),
            "");
}

TEST(Instrument, ATickTimesALotIsWholeUnitsOrTheNearestThatWorksIsNamed) {
  Instrument i = bitcoin();
  i.steps = {{0, 1}};
  EXPECT_EQ(problem(i),
            "tick 0.01 x lot 0.100 is 0.00100, not whole units of 0.01: the nearest lot that works with all ticks is "
            "1.000, the nearest tick with this lot 0.10");
  i.lot = i.quantity_min = 1'000;
  EXPECT_EQ(problem(i), "");
}

TEST(Instrument, NoProductReaches127Bits) {
  Instrument i = bitcoin();
  i.price_scale = i.quantity_scale = 0;
  i.quote_scale = 18;
  i.steps = {{0, 1}};
  i.lot = i.quantity_min = 1;
  i.price_min = 1;
  i.price_max = int64_t{1} << 40;
  i.quantity_max = uint64_t{1} << 27;
  EXPECT_EQ(problem(i), "");  // 2^67 x 10^18 is 1.25 x 2^126
  i.quantity_max *= 2;
  EXPECT_NE(problem(i).find("2^127 or more"), std::string::npos);
}

// Whatever is drawn: what passes has exact principals, and what is proposed instead passes.
TEST(Instrument, WhatPassesNeverRoundsAndWhatIsProposedPasses) {
  SeededRandom random(11);
  uint64_t refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    Instrument i = bitcoin();
    i.base_scale = 9;
    i.price_scale = static_cast<uint8_t>(random.below(8));
    i.quantity_scale = static_cast<uint8_t>(random.below(8));
    i.quote_scale = static_cast<uint8_t>(random.below(5));
    i.steps = {{0, static_cast<int64_t>(1 + random.below(500))}};
    i.lot = i.quantity_min = 1 + random.below(500);
    i.quantity_max = i.lot * 1'000;
    i.price_min = i.steps[0].tick;
    i.price_max = i.steps[0].tick * 1'000;
    const int beyond = i.price_scale + i.quantity_scale - i.quote_scale;
    Int128 divisor = 1;
    for (int n = 0; n < beyond; ++n) divisor *= 10;
    const int64_t price = i.steps[0].tick * static_cast<int64_t>(1 + random.below(1'000));
    const uint64_t quantity = i.lot * (1 + random.below(1'000));
    if (check_instrument(i).ok()) {
      ASSERT_EQ(Int128{price} * static_cast<Int128>(quantity) % divisor, 0);
      if (beyond >= 0) {
        ASSERT_EQ(notional(i, price, quantity) * divisor, Int128{price} * static_cast<Int128>(quantity));
      }
      continue;
    }
    ++refused;
    const std::string text = problem(i);
    ASSERT_NE(text.find("the nearest lot that works with all ticks is "), std::string::npos) << text;
    std::string digits;
    for (const char c : text.substr(text.find("ticks is ") + 9)) {
      if (c == ',') break;
      if (c != '.') digits += c;
    }
    Instrument proposed = i;
    proposed.lot = proposed.quantity_min = std::stoull(digits);
    proposed.quantity_max = proposed.lot * 1'000;
    ASSERT_EQ(problem(proposed), "") << text;
    digits.clear();
    for (const char c : text.substr(text.find("with this lot ") + 14))
      if (c != '.') digits += c;
    proposed = i;
    proposed.steps[0].tick = proposed.price_min = std::stoll(digits);
    proposed.price_max = proposed.price_min * 1'000;
    ASSERT_EQ(problem(proposed), "") << text;
  }
  EXPECT_GT(refused, 1'000u);
}

TEST(Instrument, AnOrderIsRefusedWithLimitAndValue) {
  const Instrument i = bitcoin();
  EXPECT_EQ(refusal(i, 50'000, 100), "");
  EXPECT_EQ(refusal(i, 0, 100), "price 0.00 is below price_min 10.00");
  EXPECT_EQ(refusal(i, 200'000'000, 100), "price 2000000.00 is above price_max 1000000.00");
  EXPECT_EQ(refusal(i, 50'500, 100), "price 505.00 is not on the tick 10.00");
  EXPECT_EQ(refusal(i, 1'005'000, 100), "price 10050.00 is not on the tick 100.00");
  EXPECT_EQ(refusal(i, 50'000, 99), "quantity 0.099 is below quantity_min 0.100");
  EXPECT_EQ(refusal(i, 50'000, 2'000'000'000), "quantity 2000000.000 is above quantity_max 1000000.000");
  EXPECT_EQ(refusal(i, 50'000, 150), "quantity 0.150 is not in lots of 0.100");
  EXPECT_EQ(refusal(i, 1'000, 100), "notional 1.00 is below notional_min 10.00");
  EXPECT_EQ(base_units(i, 100), 10'000'000u);
}

TEST(Instrument, TicksAreFoundBelowAndAbove) {
  Instrument i = bitcoin();
  EXPECT_EQ(tick_at_most(i, 999'999), 999'000);
  EXPECT_EQ(tick_at_least(i, 999'001), 1'000'000);
  EXPECT_EQ(tick_at_least(i, 1'000'001), 1'010'000);
  EXPECT_EQ(tick_at_most(i, INT64_MAX), i.price_max);
  EXPECT_EQ(tick_at_least(i, INT64_MIN), i.price_min);
  i.settlement = Settlement::net;
  i.steps[0].from = i.price_min = -10'000;
  ASSERT_EQ(problem(i), "");
  EXPECT_EQ(tick_at_most(i, -1), -1'000);
  EXPECT_EQ(tick_at_least(i, -1), 0);
  for (int64_t price = -10'500; price < 1'100'000; price += 37) {
    const int64_t below = tick_at_most(i, price);
    const int64_t above = tick_at_least(i, price);
    ASSERT_TRUE(on_tick(i, below) && on_tick(i, above));
    ASSERT_TRUE(price < i.price_min || below <= price);
    ASSERT_GE(above, price);
  }
}

TEST(Instrument, AMarketOrderIsHeldInByTheCollarAroundTheBestElseTheReference) {
  const Instrument i = bitcoin();
  using book::Side;
  EXPECT_EQ(protection_price(i, Side::buy, 100'000, 900'000), 105'000);
  EXPECT_EQ(protection_price(i, Side::sell, 100'000, std::nullopt), 95'000);
  EXPECT_EQ(protection_price(i, Side::buy, std::nullopt, 51'000), 53'000);  // 53,550 is not on a tick
  EXPECT_EQ(protection_price(i, Side::sell, std::nullopt, 51'000), 49'000);
  EXPECT_EQ(protection_price(i, Side::buy, std::nullopt, std::nullopt), std::nullopt);
  EXPECT_EQ(protection_price(i, Side::buy, i.price_max, std::nullopt), i.price_max);
  EXPECT_EQ(call_band(i, 50'000).low, 45'000);
  EXPECT_EQ(call_band(i, 50'000).high, 55'000);
}

TEST(Instrument, SomeChangesNeedAnEmptyBook) {
  const Instrument i = bitcoin();
  Instrument other = i;
  other.price_max = 1, other.notional_min = 5, other.collar_ppm = 9, other.quantity_max = 7;
  EXPECT_FALSE(differ_in_kind(i, other));
  other.lot = 200;
  EXPECT_TRUE(differ_in_kind(i, other));
  other = i;
  other.steps[1].tick = 5;
  EXPECT_TRUE(differ_in_kind(i, other));
}

TEST(Fees, NoRebateIsAboveATakersFeeOfAnyClass) {
  EXPECT_TRUE(check_fees({}).ok());
  const FeeRates classes[] = {{-20, 30, 0}, {0, 20, 100}};
  EXPECT_TRUE(check_fees(classes).ok());
  const FeeRates costly[] = {{-21, 30, 0}, {0, 20, 100}};
  EXPECT_NE(check_fees(costly).error().message.find("a rebate of 21 ppm is above a taker fee of 20 ppm"),
            std::string::npos);
  const FeeRates below[] = {{0, -1, 0}};
  EXPECT_FALSE(check_fees(below).ok());
}

TEST(Fees, AreRoundedUpOnceWithAMinimumForTheOrder) {
  const FeeRates rates{100, 200, 5};
  FeeMeter meter;
  EXPECT_EQ(charge(meter, rates, Liquidity::taker, 1'000).fee, 5u);      // 0.2, so the minimum
  EXPECT_EQ(charge(meter, rates, Liquidity::taker, 24'000).fee, 0u);     // 5.0 together
  EXPECT_EQ(charge(meter, rates, Liquidity::maker, 1).fee, 1u);          // 5.0001
  EXPECT_EQ(charge(meter, rates, Liquidity::maker, 9'999).fee, 0u);      // 6.0
  EXPECT_EQ(charge(meter, rates, Liquidity::taker, 50'000, 7).fee, 7u);  // 16, of which 7 are there
  EXPECT_EQ(charge(meter, rates, Liquidity::taker, 0).fee, 3u);          // and then the rest
  FeeMeter rebated;
  const FillFee fill = charge(rebated, {-100, 200, 5}, Liquidity::maker, 19'999);
  EXPECT_EQ(fill.rebate, 1u);
  EXPECT_EQ(fill.fee, 0u);
}

TEST(Fees, AsLargeAsTheyGet) {
  FeeMeter meter;
  const Uint128 most = (Uint128{1} << 127) - 1;
  EXPECT_EQ(charge(meter, {0, kFeePpmMax, 0}, Liquidity::taker, most).fee, most);
}

// However an order fills: all fees together are its parts rounded up once, and never more than was foreseen.
TEST(Fees, AreTheSameHoweverAnOrderFillsAndNeverAboveTheWorstCase) {
  SeededRandom random(5);
  for (int round = 0; round < 20'000; ++round) {
    FeeRates rates;
    rates.taker_ppm = static_cast<int32_t>(random.below(3'000));
    rates.maker_ppm = static_cast<int32_t>(random.below(3'000)) - 1'000;
    rates.minimum = random.below(3) * random.below(50);
    FeeMeter meter;
    Uint128 left = 1 + random.below(2'000'000);
    Uint128 charged = 0;
    Uint128 parts = 0;  // millionths
    bool paying = false;
    Uint128 foreseen = worst_case(meter, rates, left);
    while (left > 0) {
      const Uint128 part = 1 + random.below(static_cast<uint64_t>(left));
      const auto liquidity = random.one_in(2) ? Liquidity::maker : Liquidity::taker;
      const int32_t ppm = liquidity == Liquidity::maker ? rates.maker_ppm : rates.taker_ppm;
      const FillFee fill = charge(meter, rates, liquidity, part);
      if (ppm > 0) parts += part * static_cast<Uint128>(ppm), paying = true;
      EXPECT_EQ(fill.rebate, ppm < 0 ? part * static_cast<Uint128>(-ppm) / 1'000'000 : 0);
      left -= part;
      charged += fill.fee;
      const Uint128 now = worst_case(meter, rates, left);
      ASSERT_LE(fill.fee + now, foreseen);
      foreseen = now;
    }
    const Uint128 whole = (parts + 999'999) / 1'000'000;
    ASSERT_EQ(charged, paying ? std::max(whole, rates.minimum) : 0);
  }
}

TEST(Holds, ABuyHoldsItsLimitAndTheMostFeesASellItsBase) {
  const Instrument i = bitcoin();
  OrderFunds buy{book::Side::buy, 50'000, 1'000, {100, 200, 5}, {}};
  EXPECT_EQ(held(i, buy), 50'010u);  // 500.00 and 200 ppm of it
  buy.leaves = 100;
  EXPECT_EQ(held(i, buy), 5'005u);  // 50.00 and the minimum
  const OrderFunds sell{book::Side::sell, 50'000, 1'000, {100, 200, 5}, {}};
  EXPECT_EQ(held(i, sell), 100'000'000u);
}

TEST(Holds, ABetterPriceIsReleased) {
  const Instrument i = bitcoin();
  OrderFunds buy{book::Side::buy, 50'000, 1'000, {0, 0, 0}, {}};
  OrderFunds sell{book::Side::sell, 40'000, 400, {0, 0, 0}, {}};
  const FillLegs legs = settle(i, 40'000, 400, buy, Liquidity::taker, sell, Liquidity::maker);
  EXPECT_EQ(legs.principal, 16'000u);
  EXPECT_EQ(legs.base, 40'000'000u);
  EXPECT_EQ(legs.released, 4'000u);
  EXPECT_EQ(held(i, buy), 30'000u);
  EXPECT_EQ(held(i, sell), 0u);
}

TEST(Holds, ARebateIsNeverAboveTheTakersRateOfTheFill) {
  const Instrument i = bitcoin();
  OrderFunds sell{book::Side::sell, 50'000, 3'000, {-500, 2'000, 0}, {}};
  const auto rebate = [&](int32_t taker_ppm) {
    OrderFunds buy{book::Side::buy, 50'000, 1'000, {0, taker_ppm, 0}, {}};
    return settle(i, 50'000, 1'000, buy, Liquidity::taker, sell, Liquidity::maker).seller_rebate;
  };
  EXPECT_EQ(rebate(1'000), 25u);
  EXPECT_EQ(rebate(100), 5u);
  EXPECT_EQ(rebate(0), 0u);
}

// Whatever it fills at: what is held is that of what is left, nothing is lost, no fee is above what it is taken from, and the house
// never pays more rebates than it took.
TEST(Holds, CoverEveryFillThatCanCome) {
  const Instrument i = bitcoin();
  SeededRandom random(9);
  const auto rates = [&] {
    return FeeRates{static_cast<int32_t>(random.below(2'000)) - 500, static_cast<int32_t>(random.below(2'000)),
                    random.below(2) * random.below(5'000)};
  };
  for (int round = 0; round < 20'000; ++round) {
    const int64_t price = 1'000 * static_cast<int64_t>(1 + random.below(500));
    OrderFunds buy{book::Side::buy, price, 100 * (1 + random.below(50)), rates(), {}};
    Uint128 held_now = held(i, buy);
    Uint128 house = 0;
    while (buy.leaves > 0) {
      OrderFunds sell{book::Side::sell, 1'000, 100 * (1 + random.below(20)), rates(), {}};
      const int64_t at = 1'000 * static_cast<int64_t>(1 + random.below(static_cast<uint64_t>(price / 1'000)));
      const bool buyer_takes = random.one_in(2);
      const auto buyers = buyer_takes ? Liquidity::taker : Liquidity::maker;
      const auto sellers = buyer_takes ? Liquidity::maker : Liquidity::taker;
      const FillLegs legs = settle(i, at, std::min(buy.leaves, sell.leaves), buy, buyers, sell, sellers);
      held_now -= legs.principal + legs.buyer_fee + legs.released;
      ASSERT_EQ(held_now, held(i, buy));
      ASSERT_LE(legs.seller_fee, legs.principal);
      house += legs.buyer_fee + legs.seller_fee;
      ASSERT_GE(house, legs.buyer_rebate + legs.seller_rebate);
      house -= legs.buyer_rebate + legs.seller_rebate;
    }
    ASSERT_EQ(held_now, 0u);
  }
}

std::string over(const Limits& limits, const Exposure& before, const OrderSize& order) {
  const std::optional<Error> error = check_limits("account A1", bitcoin(), limits, before, order);
  return error ? error->message : "";
}

TEST(Limits, AreNamedWithTheirValueAndTheOrders) {
  Limits limits;
  EXPECT_EQ(over(limits, {}, {book::Side::buy, 50'000, 1'000'000}), "");
  limits = {2'000, 200'000, 5'000, 3'000};
  EXPECT_EQ(over(limits, {}, {book::Side::buy, 50'000, 2'100}),
            "an order's quantity of account A1 would be 2.100, its limit is 2.000");
  EXPECT_EQ(over(limits, {}, {book::Side::buy, 110'000, 2'000}),
            "an order's notional of account A1 would be 2200.00, its limit is 2000.00");
  EXPECT_EQ(over(limits, {2'000, 2'000, 0}, {book::Side::buy, 50'000, 1'100}),
            "worst-case long of account A1 would be 5.100, its limit is 5.000");
  EXPECT_EQ(over(limits, {-1'000, 9'000, 1'500}, {book::Side::sell, 50'000, 600}),
            "worst-case short of account A1 would be 3.100, its limit is 3.000");
}

TEST(Limits, BuysAndSellsAreNotNettedAndLessIsAlwaysLetThrough) {
  const Limits limits{0, 0, 1'000, 1'000};
  const Exposure both{0, 1'000, 1'000};
  EXPECT_NE(over(limits, both, {book::Side::buy, 50'000, 100}), "");
  EXPECT_NE(over(limits, both, {book::Side::sell, 50'000, 100}), "");
  const Exposure beyond{5'000, 1'000, 0};
  EXPECT_EQ(over(limits, beyond, {book::Side::buy, 50'000, 900, 1'000}), "");
  EXPECT_EQ(over(limits, beyond, {book::Side::sell, 50'000, 6'000}), "");
  EXPECT_NE(over(limits, beyond, {book::Side::sell, 50'000, 6'100}), "");
}

TEST(Limits, AReplaceIsJudgedByItsNotionalWhenThatGrows) {
  const Limits limits{0, 200'000, 0, 0};
  EXPECT_NE(over(limits, {}, {book::Side::buy, 110'000, 2'000, 2'000, 50'000}), "");
  EXPECT_NE(over(limits, {}, {book::Side::buy, 210'000, 1'000, 2'000, 50'000}), "") << "of less";
  EXPECT_EQ(over(limits, {}, {book::Side::buy, 110'000, 2'000, 2'000, 120'000}), "") << "less than it was";
  EXPECT_EQ(over(limits, {}, {book::Side::buy, 50'000, 2'000, 2'000, 120'000}), "");
}

TEST(Limits, NoTimeSeesMoreOrdersThanItsShare) {
  SeededRandom random(4);
  for (int round = 0; round < 50; ++round) {
    Limits limits;
    limits.orders_per_second = 1 + static_cast<uint32_t>(random.below(2'000));
    limits.orders_at_once = 1 + static_cast<uint32_t>(random.below(20));
    OrderRate rate;
    std::vector<int64_t> admitted;
    int64_t now = 1'000'000'000;
    for (int order = 0; order < 400; ++order) {
      if (random.one_in(3)) now += static_cast<int64_t>(random.below(3'000'000'000 / limits.orders_per_second));
      if (admit(rate, limits, now)) admitted.push_back(now);
    }
    for (size_t from = 0; from < admitted.size(); ++from)
      for (size_t to = from; to < admitted.size(); ++to) {
        const auto time = static_cast<Uint128>(admitted[to] - admitted[from]);
        ASSERT_LE((to - from + 1 - limits.orders_at_once) * (to - from + 1 > limits.orders_at_once),
                  time * limits.orders_per_second / 1'000'000'000);
      }
    ASSERT_GE(admitted.size(), limits.orders_at_once);
  }
  OrderRate free;
  EXPECT_TRUE(admit(free, {}, 1));
  Limits one;
  one.orders_per_second = 10;
  OrderRate slow;
  EXPECT_TRUE(admit(slow, one, 0));
  EXPECT_FALSE(admit(slow, one, 99'999'999));
  EXPECT_TRUE(admit(slow, one, 100'000'000));
}

}  // namespace
}  // namespace heptane::fintech::exchange
