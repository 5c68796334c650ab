// Trade capture over FIX: TradeCaptureReportRequest(AD) answered by AQ and an AE for each side of the firm. FIX 4.4 volume 5.
//
// First the firm's rows are looked at, kLooksAtOnce in an entry, then those that were found are told, kToldAtOnce in one: commands that the
// machine schedules. So AQ says how many come, and what came is complete whatever crashes meanwhile.
#include <algorithm>
#include <utility>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/values.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::exchange {

using fix::add_field;

namespace {

constexpr size_t kLooksAtOnce = 1'000;
constexpr size_t kToldAtOnce = 100;
constexpr std::string_view kNoSymbol = "[N/A]";  // AQ must have one
constexpr std::string_view kTooMany =
    "more than 1000: ask by date, symbol, side or order; stream fintech.orders has all";

bool matches(const FixCapture& capture, const FirmTrade& row) {
  const FixTrades& asked = capture.trades;
  return row.date >= asked.from && row.date <= asked.to && (asked.trade == 0 || asked.trade == row.trade) &&
         (asked.exec == 0 || asked.exec == row.exec) && (capture.order == 0 || capture.order == row.order) &&
         (capture.instrument == 0 || capture.instrument == row.instrument) &&
         (!capture.side || *capture.side == row.side) &&
         (capture.client_id.empty() || capture.client_id == row.client_id);
}

// YYYYMMDD.
std::string date_text(int64_t date) {
  constexpr size_t kDateBytes = 8;
  std::string out;
  fix::append_timestamp(out, date * kDayNs, 0);
  return out.substr(0, kDateBytes);
}

std::string not_all_text(int64_t date) {
  return "up to " + date_text(date) + " not all are kept here: stream fintech.orders has all";
}

std::string ack_body(const FixCapture& capture, TradeResult result, std::string_view status) {
  std::string out;
  add_field(out, kTradeRequestID, capture.request_id);
  add_field(out, kTradeRequestType, std::string(1, static_cast<char>(capture.type)));
  if (status != kTradesRejected) add_field(out, kTotNumTradeReports, static_cast<int64_t>(capture.found.size()));
  add_field(out, kTradeRequestResult, static_cast<int64_t>(result));
  add_field(out, kTradeRequestStatus, status);
  add_field(out, kSymbol, capture.symbol.empty() ? kNoSymbol : std::string_view(capture.symbol));
  return out;
}

}  // namespace

void ExchangeMachine::fix_capture_refused(FixSession& session, const FixCapture& capture, TradeResult why,
                                          std::string_view text) {
  std::string out = ack_body(capture, why, kTradesRejected);
  add_field(out, kText, printable(text));
  fix_.say(session, "AQ", {}, out);
}

void ExchangeMachine::fix_capture(FixSession& session, const FixRequest& asked, Now& now) {
  FixCapture capture;
  capture.session = session.number;
  capture.firm = session.firm;
  capture.request_id = asked.client_id;
  capture.type = asked.request_type;
  capture.symbol = asked.symbol;
  capture.side = asked.side;
  capture.order = asked.order_id;
  capture.client_id = asked.original_id;
  capture.trades = asked.trades;
  if (asked.refused) {
    const bool known = asked.trades.result != TradeResult::successful;
    return fix_capture_refused(session, capture, known ? asked.trades.result : TradeResult::other, asked.text);
  }
  if (const Listing* listing = directory_.listing(asked.symbol)) {
    capture.instrument = listing->number;
  } else if (!asked.symbol.empty()) {
    return fix_capture_refused(session, capture, TradeResult::unknown_instrument,
                               "there is no instrument " + asked.symbol);
  }
  const auto& captures = trades_.captures();
  const auto of_session = std::count_if(captures.begin(), captures.end(),
                                        [&](const auto& one) { return one.second.session == session.number; });
  if (static_cast<size_t>(of_session) >= FirmTrades::kCapturesOfSession || captures.size() >= FirmTrades::kCapturesMax)
    return fix_capture_refused(session, capture, TradeResult::other, "earlier requests are being answered: ask again");
  const int64_t gone = not_all_trades_upto(session.firm, now);
  if (asked.trades.from != FixTrades().from && asked.trades.from <= gone)
    return fix_capture_refused(session, capture, TradeResult::other, not_all_text(gone));
  if (const FirmTrades::Rows* rows = trades_.of(session.firm)) {
    capture.cursor = rows->first;
    capture.behind = rows->behind();
  }
  go_on_capture(trades_.begin(std::move(capture)), now);
}

// Of what was traded before any trade was kept no date is known: it may have been today.
int64_t ExchangeMachine::not_all_trades_upto(uint32_t firm, const Now& now) const {
  if (trades_.keeps_any()) return trades_.not_all_upto(firm);
  return own_.next_trade > 1 ? now.time / kDayNs : INT64_MIN;
}

void ExchangeMachine::apply_capture(Now& now) {
  const auto number = unpacked<uint64_t>(now.command.payload);
  if (!number || !trades_.captures().contains(*number))
    return now.effects.refuse(Errc::not_found, 0, "there is no such request");
  now.effects.reply(static_cast<int64_t>(*number));
  go_on_capture(*number, now);
}

void ExchangeMachine::go_on_capture(uint64_t number, Now& now) {
  FixCapture& capture = trades_.captures().at(number);
  FixSession& session = fix_.at(capture.session);
  if (!capture.complete()) look_for_trades(capture);
  if (capture.found.size() > FirmTrades::kCapturedMax) {
    fix_capture_refused(session, capture, TradeResult::other, kTooMany);
    trades_.captures().erase(number);
    return;
  }
  if (capture.complete()) {
    if (capture.told == 0) say_captured(session, capture, now);
    tell_captured(session, capture);
    if (capture.told == capture.found.size()) {
      trades_.captures().erase(number);
      return;
    }
  }
  now.effects.arm(now.time, kFixCapture, packed(number).view());
}

void ExchangeMachine::look_for_trades(FixCapture& capture) const {
  const FirmTrades::Rows* rows = trades_.of(capture.firm);
  if (rows == nullptr) return;
  capture.cursor = std::max(capture.cursor, rows->first);
  for (size_t looks = 0; looks < kLooksAtOnce && !capture.complete(); ++looks, ++capture.cursor) {
    const FirmTrade& row = rows->rows[capture.cursor - rows->first];
    if (matches(capture, row)) capture.found.push_back(row);
    if (capture.found.size() > FirmTrades::kCapturedMax) return;
  }
}

// What is not kept any more is named.
void ExchangeMachine::say_captured(FixSession& session, const FixCapture& capture, const Now& now) {
  std::string out =
      ack_body(capture, TradeResult::successful, capture.found.empty() ? kTradesCompleted : kTradesAccepted);
  const int64_t gone = not_all_trades_upto(capture.firm, now);
  if (gone != INT64_MIN && capture.trades.from <= gone) add_field(out, kText, not_all_text(gone));
  fix_.say(session, "AQ", {}, out);
}

void ExchangeMachine::tell_captured(FixSession& session, FixCapture& capture) {
  for (size_t told = 0; told < kToldAtOnce && capture.told < capture.found.size(); ++told, ++capture.told)
    fix_.say(session, "AE", {}, captured_body(session, capture));
}

// The next one.
std::string ExchangeMachine::captured_body(const FixSession& session, const FixCapture& capture) const {
  const FirmTrade& row = capture.found[capture.told];
  const Instrument& i = directory_.listing(row.instrument).instrument();
  std::string out;
  add_field(out, kTradeReportID, static_cast<int64_t>(row.exec));
  add_field(out, kTradeReportTransType, "0");
  add_field(out, kTradeRequestID, capture.request_id);
  add_field(out, kExecType, row.busted ? "H" : row.corrects_exec != 0 ? "G" : "F");
  add_field(out, kTotNumTradeReports, static_cast<int64_t>(capture.found.size()));
  add_field(out, kLastRptRequested, capture.told + 1 == capture.found.size() ? "Y" : "N");
  if (row.corrects_exec != 0) add_field(out, kTradeReportRefID, static_cast<int64_t>(row.corrects_exec));
  add_field(out, kTrdMatchID, static_cast<int64_t>(row.trade));
  add_field(out, kExecID, static_cast<int64_t>(row.exec));
  add_field(out, kSecondaryExecID, static_cast<int64_t>(row.trade));
  add_field(out, kPreviouslyReported, "Y");
  add_field(out, kSymbol, i.symbol);
  add_field(out, kLastQty, amount_text(row.quantity, i.quantity_scale));
  fix::add_decimal(out, kLastPx, row.price, i.price_scale);
  add_field(out, kTradeDate, date_text(row.date));
  fix::add_timestamp(out, kTransactTime, row.time, 3);
  if (session.spec.role == FixRole::drop_copy) add_field(out, kCopyMsgIndicator, "Y");
  add_field(out, kNoSides, "1");
  add_field(out, kSide, row.side == book::Side::buy ? "1" : "2");
  add_field(out, kOrderID, static_cast<int64_t>(row.order));
  if (!row.client_id.empty()) add_field(out, kClOrdID, row.client_id);
  add_field(out, kAccount, directory_.account(row.account).name);
  add_commission(out, row.fee, row.rebate, i.quote_scale);
  if (row.instead != 0) add_field(out, kText, "trade " + std::to_string(row.instead) + " is in its place");
  return out;
}

// ---- what is kept

void ExchangeMachine::keep_fill(const Listing& listing, const Order& order, const Fill& fill, uint64_t exec,
                                const Now& now) {
  if (!keeps_trades()) return;
  FirmTrade row;
  row.trade = fill.trade;
  row.exec = exec;
  row.order = order.id;
  row.client_id = order.client_id;
  row.account = order.account;
  row.instrument = order.instrument;
  row.side = order.funds.side;
  row.price = fill.price;
  row.quantity = fill.quantity;
  row.fee = fill.fee;
  row.rebate = fill.rebate;
  row.time = now.time;
  row.date = market_day(listing, now.time).date;
  trades_.add(order.firm, directory_.firms(), std::move(row));
}

// The trade in its place has a row of its own, of the trade date of the other, where that is known.
void ExchangeMachine::keep_restated(const Busted& busted, book::Side side, const Now& now) {
  if (!keeps_trades()) return;
  const BustedSide of = side_of(busted, side);
  const FirmTrade* before = trades_.find(of.firm, busted.trade.trade);
  const int64_t date = before == nullptr ? trade_date(static_cast<LogTime>(busted.trade.timestamp)) : before->date;
  trades_.bust(of.firm, busted.trade.trade, busted.correction ? busted.number() : 0);
  if (!busted.correction) return;
  const Order* order = orders_.find(of.order);
  FirmTrade row;
  row.trade = busted.number();
  row.exec = of.exec;
  row.order = of.order;
  if (order != nullptr) row.client_id = order->client_id;
  row.account = of.account;
  row.instrument = busted.listing->number;
  row.side = side;
  row.price = busted.told().price;
  row.quantity = busted.told().quantity;
  row.fee = of.fee;
  row.rebate = of.rebate;
  row.time = now.time;
  row.date = date;
  row.corrects_exec = of.exec_ref;
  trades_.add(of.firm, directory_.firms(), std::move(row));
}

}  // namespace heptane::fintech::exchange
