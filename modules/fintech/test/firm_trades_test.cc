// Trades that are kept for firms: how many, which go, what a bust leaves.
#include "modules/fintech/machine/exchange/firm_trades.h"

#include <gtest/gtest.h>

#include "kernel/shard/memory_snapshot.h"

namespace heptane::fintech::exchange {
namespace {

FirmTrade trade_of(uint64_t number, int64_t date, book::Side side = book::Side::buy) {
  FirmTrade trade;
  trade.trade = number;
  trade.exec = 2 * number;
  trade.client_id = "c" + std::to_string(number);
  trade.side = side;
  trade.date = date;
  return trade;
}

TEST(FirmTrades, AFirmHasNoMoreThanItsPart) {
  FirmTrades trades;
  const size_t firms = FirmTrades::kOfAll / 10;
  for (uint64_t n = 1; n <= 12; ++n) trades.add(1, firms, trade_of(n, static_cast<int64_t>(n)));
  trades.add(2, firms, trade_of(13, 13));
  const FirmTrades::Rows& rows = *trades.of(1);
  EXPECT_EQ(rows.first, 2U);
  EXPECT_EQ(rows.rows.size(), 10U);
  EXPECT_EQ(rows.last_date_gone, 2);
  EXPECT_EQ(trades.find(1, 2), nullptr);
  EXPECT_EQ(trades.find(1, 3)->exec, 6U);
  EXPECT_EQ(trades.of(2)->first, 0U);
  EXPECT_EQ(trades.of(3), nullptr);
}

TEST(FirmTrades, PartsBecomeSmallerPieceByPiece) {
  FirmTrades trades;
  for (uint64_t n = 1; n <= 10; ++n) trades.add(1, 1, trade_of(n, 1));
  const size_t firms = FirmTrades::kOfAll / 5;
  const size_t sizes[] = {9, 8, 7, 6, 5, 5};
  uint64_t n = 11;
  for (const size_t size : sizes) {
    trades.add(1, firms, trade_of(n++, 1));
    EXPECT_EQ(trades.of(1)->rows.size(), size);
  }
}

TEST(FirmTrades, ABustIsOfBothSidesOfAFirm) {
  FirmTrades trades;
  for (uint64_t n = 1; n <= 3; ++n) {
    trades.add(1, 1, trade_of(n, 1));
    trades.add(1, 1, trade_of(n, 1, book::Side::sell));
  }
  trades.bust(1, 2, 9);
  trades.bust(1, 7, 0);
  trades.bust(2, 2, 0);
  size_t busted = 0;
  for (const FirmTrade& row : trades.of(1)->rows) {
    EXPECT_EQ(row.busted, row.trade == 2);
    EXPECT_EQ(row.instead, row.trade == 2 ? 9U : 0U);
    busted += row.busted ? 1 : 0;
  }
  EXPECT_EQ(busted, 2U);
}

TEST(FirmTrades, ComeBackOfASnapshot) {
  FirmTrades trades;
  const size_t firms = FirmTrades::kOfAll / 2;
  for (uint64_t n = 1; n <= 4; ++n) trades.add(7, firms, trade_of(n, 3));
  FixCapture capture;
  capture.request_id = "r";
  capture.found = {trade_of(3, 3)};
  EXPECT_EQ(trades.begin(capture), 1U);
  MemorySnapshot snapshot;
  trades.save(snapshot);
  FirmTrades again;
  again.add(1, 1, trade_of(1, 1));
  again.restore(snapshot);
  EXPECT_TRUE(snapshot.at_end());
  EXPECT_EQ(again.of(1), nullptr);
  EXPECT_EQ(again.of(7)->first, 2U);
  EXPECT_EQ(again.of(7)->last_date_gone, 3);
  EXPECT_EQ(again.find(7, 4)->client_id, "c4");
  EXPECT_EQ(again.captures().at(1).found.size(), 1U);
  EXPECT_EQ(again.memory_bytes(), trades.memory_bytes());
  EXPECT_EQ(again.begin(capture), 2U);
}

// Its continuations are in the log by their numbers.
TEST(FirmTrades, ARequestThatFoundNothingIsStillCounted) {
  FirmTrades trades;
  EXPECT_TRUE(trades.empty());
  EXPECT_EQ(trades.begin(FixCapture()), 1U);
  trades.captures().clear();
  EXPECT_FALSE(trades.empty()) << "nothing would be saved";
  MemorySnapshot snapshot;
  trades.save(snapshot);
  FirmTrades again;
  again.restore(snapshot);
  EXPECT_EQ(again.begin(FixCapture()), 2U);
}

TEST(FirmTrades, ItIsKnownUpToWhenNotAllAreKept) {
  FirmTrades whole;
  whole.add(1, 1, trade_of(1, 5));
  EXPECT_EQ(whole.not_all_upto(1), INT64_MIN);
  FirmTrades later;
  later.add(1, 1, trade_of(9, 5));
  later.add(2, 1, trade_of(10, 6));
  EXPECT_EQ(later.not_all_upto(1), 5) << "eight came before it";
  EXPECT_EQ(later.not_all_upto(3), 5);
  MemorySnapshot snapshot;
  later.save(snapshot);
  FirmTrades again;
  again.restore(snapshot);
  EXPECT_EQ(again.not_all_upto(2), 5);
}

}  // namespace
}  // namespace heptane::fintech::exchange
