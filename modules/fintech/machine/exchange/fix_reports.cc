// Execution reports(8): what becomes of orders, told to the sessions that they came over and to drop copies, in the entry in which it
// becomes so.
#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::exchange {

using fix::add_field;

namespace {

constexpr const char* kOfThisFillAlone =
    "the order is not kept any more, its other fills are not known: OrdStatus, CumQty and AvgPx are of this fill "
    "alone. ";

void add_price(std::string& out, int32_t tag, int64_t price, uint8_t scale) {
  add_field(out, tag, price_text(price, scale));
}
void add_amount(std::string& out, int32_t tag, Uint128 amount, uint8_t scale) {
  add_field(out, tag, amount_text(amount, scale));
}

constexpr char kExecRejected = '8';

bool has_limit(const Order& order) {
  return order.type == book::OrderType::limit || order.type == book::OrderType::stop_limit;
}

void add_terms(std::string& out, const Order& order, const Instrument& i) {
  add_field(out, kOrdType, std::string_view(&kOrdTypes[static_cast<size_t>(order.type)], 1));
  if (has_limit(order)) add_price(out, kPrice, order.funds.price, i.price_scale);
  if (order.stop_price != 0) add_price(out, kStopPx, order.stop_price, i.price_scale);
  add_field(out, kTimeInForce, std::string_view(&kTimesInForce[static_cast<size_t>(order.tif)], 1));
  if (order.tif == book::TimeInForce::gtd) fix::add_timestamp(out, kExpireTime, order.expires_at, 3);
}

}  // namespace

void add_commission(std::string& out, Uint128 fee, Uint128 rebate, uint8_t scale) {
  const bool gets = rebate > fee;
  add_field(out, kCommission, (gets ? "-" : "") + amount_text(gets ? rebate - fee : fee - rebate, scale));
  add_field(out, kCommType, "3");
}

char ord_status(const Order& order) {
  switch (order.status) {
    case OrderStatus::open: return order.filled == 0 ? '0' : '1';
    case OrderStatus::filled:
    case OrderStatus::done: return '2';
    case OrderStatus::cancelled: return '4';
    case OrderStatus::expired: return 'C';
    case OrderStatus::in_review: return 'A';
  }
  return '8';
}

// Of one that waits for a review PendingNew, to who asks: of itself it is told of when that is decided.
char ExchangeMachine::fix_status(const Order& order) const { return in_review(order.id) ? 'A' : ord_status(order); }

std::string ExchangeMachine::report_body(char exec_type, const Order& order, const std::string& client_id,
                                         const std::string& original_id, uint64_t exec) const {
  const Instrument& i = directory_.listing(order.instrument).instrument();
  std::string out;
  out.reserve(384);
  add_field(out, kOrderID, static_cast<int64_t>(order.id));
  add_field(out, kClOrdID, client_id);
  if (!original_id.empty()) add_field(out, kOrigClOrdID, original_id);
  add_field(out, kExecID, static_cast<int64_t>(exec));
  add_field(out, kExecType, std::string_view(&exec_type, 1));
  const char status = exec_type == kExecRejected ? kExecRejected : fix_status(order);
  add_field(out, kOrdStatus, std::string_view(&status, 1));
  add_field(out, kAccount, directory_.account(order.account).name);
  out += orders_.parties(order.id);
  add_field(out, kSymbol, i.symbol);
  add_field(out, kSide, order.funds.side == book::Side::buy ? "1" : "2");
  // Of what was replaced by what is filled already: that.
  const uint64_t quantity = order.status == OrderStatus::done ? order.filled : order.quantity;
  add_amount(out, kOrderQty, quantity, i.quantity_scale);
  add_terms(out, order, i);
  add_amount(out, kLeavesQty, order.status == OrderStatus::open ? order.funds.leaves : 0, i.quantity_scale);
  add_amount(out, kCumQty, order.filled, i.quantity_scale);
  add_field(out, kAvgPx, average_text(order, i.price_scale));
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  return out;
}

// To the session that it came over, to another one whose request it answers, and to the firm's drop copies.
void ExchangeMachine::send_report(const Order& order, const std::string& body, bool answers) {
  FixSession* session = fix_.session_of(order.id);
  if (session != nullptr) fix_.say(*session, "8", {}, body);
  const uint32_t requester = answers ? fix_.requester() : 0;
  if (requester != 0 && (session == nullptr || session->number != requester))
    fix_.say(fix_.at(requester), "8", {}, body);
  for (const uint32_t drop : fix_.drops(order.firm)) {
    std::string copy = body;
    add_field(copy, kCopyMsgIndicator, "Y");
    fix_.say(fix_.at(drop), "8", {}, copy);
  }
  if (order.status != OrderStatus::open) fix_.unroute(order.id);
}

void ExchangeMachine::report(char exec_type, const Order& order) {
  if (fix_.empty()) return;
  const auto& asked = fix_.asked();
  const bool replaces = exec_type == '5' && asked && asked->order == order.id;
  const std::string original_id = replaces ? asked->original_id : std::string();
  send_report(order, report_body(exec_type, order, order.client_id, original_id, own_.next_exec - 1), replaces);
}

void ExchangeMachine::report_fill(const Order& order, const Fill& fill) {
  if (fix_.empty()) return;
  const Instrument& i = directory_.listing(order.instrument).instrument();
  std::string body = report_body('F', order, order.client_id, {}, own_.next_exec - 1);
  add_price(body, kLastPx, fill.price, i.price_scale);
  add_amount(body, kLastQty, fill.quantity, i.quantity_scale);
  add_field(body, kSecondaryExecID, static_cast<int64_t>(fill.trade));
  add_commission(body, fill.fee, fill.rebate, i.quote_scale);
  send_report(order, body, false);
}

void ExchangeMachine::report_end(const Order& order, book::Reason reason) {
  if (fix_.empty()) return;
  const auto& asked = fix_.asked();
  const bool reduced = reason == book::Reason::reduced;
  const bool answers = asked && asked->order == order.id;
  const bool by_request = answers && (reduced || asked->cancels);
  const char exec_type = reduced ? '5' : reason == book::Reason::expired ? 'C' : '4';
  const bool named = by_request && !asked->client_id.empty();
  std::string body = report_body(exec_type, order, named ? asked->client_id : order.client_id,
                                 named ? asked->original_id : std::string(), own_.next_exec - 1);
  const bool otherwise = exec_type == '4' && !named;
  if (otherwise && !fix_.solicited(order.id)) add_field(body, kExecRestatementReason, "8");
  if (otherwise) add_field(body, kText, fix_.cause().empty() ? reason_name(reason) : fix_.cause());
  send_report(order, body, answers);
}

// By a review, or its deadline: it was never accepted.
void ExchangeMachine::report_denied(const Order& order, std::string_view why) {
  if (fix_.empty()) return;
  std::string body = report_body(kExecRejected, order, order.client_id, {}, own_.next_exec - 1);
  add_field(body, kOrdRejReason, static_cast<int64_t>(Rejected::other));
  add_field(body, kText, printable(why));
  send_report(order, body, false);
}

// Of an order that is not kept any more its account and symbol, and of its fills the one that is in question alone: all that is known.
std::string ExchangeMachine::restated_body(const Busted& busted, book::Side side, const BustedSide& of) const {
  const char type = busted.correction ? 'G' : 'H';
  if (const Order* order = orders_.find(of.order)) return report_body(type, *order, order->client_id, {}, of.exec);
  std::string out;
  add_field(out, kOrderID, static_cast<int64_t>(of.order));
  add_field(out, kExecID, static_cast<int64_t>(of.exec));
  add_field(out, kExecType, std::string_view(&type, 1));
  add_field(out, kOrdStatus, "4");
  add_field(out, kAccount, directory_.account(of.account).name);
  add_field(out, kSymbol, busted.listing->instrument().symbol);
  add_field(out, kSide, side == book::Side::buy ? "1" : "2");
  add_field(out, kLeavesQty, "0");
  if (busted.correction) {
    add_amount(out, kCumQty, busted.told().quantity, busted.listing->instrument().quantity_scale);
    add_price(out, kAvgPx, busted.told().price, busted.listing->instrument().price_scale);
  } else {
    add_field(out, kCumQty, "0");
    add_field(out, kAvgPx, "0");
  }
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  return out;
}

// Trade cancel and correct, to the session that the order came over, though it has ended, and to the firm's drop copies.
void ExchangeMachine::report_restated(const Busted& busted, book::Side side) {
  if (fix_.empty()) return;
  const Instrument& i = busted.listing->instrument();
  const BustedSide of = side_of(busted, side);
  std::string body = restated_body(busted, side, of);
  add_field(body, kExecRefID, static_cast<int64_t>(of.exec_ref));
  add_price(body, kLastPx, busted.told().price, i.price_scale);
  add_amount(body, kLastQty, busted.told().quantity, i.quantity_scale);
  add_field(body, kSecondaryExecID, static_cast<int64_t>(busted.number()));
  if (busted.correction) add_commission(body, of.fee, of.rebate, i.quote_scale);
  const bool kept = orders_.find(of.order) != nullptr;
  add_field(body, kText, (kept ? "" : kOfThisFillAlone) + printable(busted.reason));
  if (of.session != 0) fix_.say(fix_.at(of.session), "8", {}, body);
  for (const uint32_t drop : fix_.drops(of.firm)) {
    std::string copy = body;
    add_field(copy, kCopyMsgIndicator, "Y");
    fix_.say(fix_.at(drop), "8", {}, copy);
  }
}

std::string ExchangeMachine::status_body(const Order& order, const std::string& more) const {
  return report_body('I', order, order.client_id, {}, 0) + more;
}

// What was asked for, and why not.
void ExchangeMachine::report_rejected(FixSession& session, const FixRequest& asked, uint32_t reason,
                                      std::string_view text) {
  std::string out;
  add_field(out, kOrderID, "NONE");
  add_field(out, kClOrdID, asked.client_id);
  add_field(out, kExecID, static_cast<int64_t>(own_.next_exec++));
  add_field(out, kExecType, "8");
  add_field(out, kOrdStatus, "8");
  out += asked.echoed;
  out += asked.parties;
  add_field(out, kLeavesQty, "0");
  add_field(out, kCumQty, "0");
  add_field(out, kAvgPx, "0");
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  add_field(out, kOrdRejReason, static_cast<int64_t>(reason));
  add_field(out, kText, printable(text));
  fix_.say(session, "8", {}, out);
}

}  // namespace heptane::fintech::exchange
