// Tags and letters of FIX 4.4 that orders and their reports use, between the gateway, which reads them, and the machine, which writes
// them. Constants; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

enum FixTag : int32_t {
  kAccount = 1,
  kAvgPx = 6,
  kClOrdID = 11,
  kCommission = 12,
  kCommType = 13,
  kCumQty = 14,
  kExecID = 17,
  kExecInst = 18,
  kExecRefID = 19,
  kLastPx = 31,
  kLastQty = 32,
  kOrderID = 37,
  kOrderQty = 38,
  kOrdStatus = 39,
  kOrdType = 40,
  kOrigClOrdID = 41,
  kPrice = 44,
  kRefSeqNum = 45,
  kSide = 54,
  kSymbol = 55,
  kText = 58,
  kTimeInForce = 59,
  kTransactTime = 60,
  kStopPx = 99,
  kCxlRejReason = 102,
  kOrdRejReason = 103,
  kMinQty = 110,
  kMaxFloor = 111,
  kExpireTime = 126,
  kExecType = 150,
  kLeavesQty = 151,
  kExecRestatementReason = 378,
  kRefMsgType = 372,
  kBusinessRejectRefID = 379,
  kBusinessRejectReason = 380,
  kExpireDate = 432,
  kCxlRejResponseTo = 434,
  kSecondaryExecID = 527,
  kMassCancelRequestType = 530,
  kMassCancelResponse = 531,
  kMassCancelRejectReason = 532,
  kTotalAffectedOrders = 533,
  kUsername = 553,
  kPassword = 554,
  kMassStatusReqID = 584,
  kMassStatusReqType = 585,
  kOrdStatusReqID = 790,
  kCopyMsgIndicator = 797,
  kTotNumReports = 911,
  kLastRptRequested = 912,
  kSelfTradePrevention = 7928,
};

// By book::OrderType and book::TimeInForce.
inline constexpr char kOrdTypes[] = {'2', '1', '3', '4'};
inline constexpr char kTimesInForce[] = {'0', '1', '6', '3', '4', '2', '7'};

// Trade capture.
enum FixTradeTag : int32_t {
  kTradeDate = 75,
  kTradeReportTransType = 487,
  kNoSides = 552,
  kTradeRequestID = 568,
  kTradeRequestType = 569,
  kPreviouslyReported = 570,
  kTradeReportID = 571,
  kTradeReportRefID = 572,
  kNoDates = 580,
  kTotNumTradeReports = 748,
  kTradeRequestResult = 749,
  kTradeRequestStatus = 750,
  kResponseTransportType = 725,
  kTrdMatchID = 880,
};

// TradeRequestStatus(750).
inline constexpr std::string_view kTradesAccepted = "0";
inline constexpr std::string_view kTradesCompleted = "1";
inline constexpr std::string_view kTradesRejected = "2";

// Commission(12), absolute: what was paid, less what was got.
void add_commission(std::string& out, Uint128 fee, Uint128 rebate, uint8_t scale);

// OrdStatus(39).
char ord_status(const Order& order);

// What is no printable ASCII becomes `?`: a field's value has no end of a field in it.
inline std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c < ' ' || c > '~') c = '?';
  return out;
}

}  // namespace heptane::fintech::exchange
