// What applications ask for over FIX: orders, cancels, replaces, how they stand, mass cancels. FIX 4.4 volume 4.
#include <algorithm>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/machine/exchange/exchange_machine.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::exchange {

using fix::add_field;

namespace {

constexpr const char* kForgotten = "it is known, but its details are in the session's stream alone";
constexpr const char* kOfAnotherDay = "a possible resend of an earlier trade date: what was done then is not known";
constexpr const char* kBadClientId = "a ClOrdID is 1 to 64 printable characters without blank, \" and backslash";

// As FIX numbers it; `other` where the exchange has no number.
uint32_t fix_reason(const Error& error, uint32_t other) {
  return error.detail >= kFixReason ? error.detail - kFixReason : other;
}

Error not_cancelled(CancelRejected why, std::string text) {
  return {Errc::refused, std::move(text), kFixReason + static_cast<uint32_t>(why)};
}

}  // namespace

void ExchangeMachine::apply_fix_request(FixSession& session, FixRequest& asked, Now& now) {
  fix_.set_requester(session.number);
  if (asked.ask == FixAsk::capture && origin_.told) return fix_capture(session, asked, now);
  const bool asks_how = asked.ask == FixAsk::status || asked.ask == FixAsk::mass_status;
  if (asks_how && asked.refused) return fix_business_reject(session, asked, asked.text);
  switch (asked.ask) {
    case FixAsk::enter: return fix_enter(session, asked, now);
    case FixAsk::cancel: return fix_cancel(session, asked, now);
    case FixAsk::replace: return fix_replace(session, asked, now);
    case FixAsk::status: return fix_status(session, asked, now);
    case FixAsk::mass_status: return fix_mass_status(session, asked);
    case FixAsk::mass_cancel: return fix_mass_cancel(session, asked, now);
    case FixAsk::capture: return;  // above
  }
}

// By OrderID, else by OrigClOrdID, else by ClOrdID. Of the session's firm alone.
const Order* ExchangeMachine::fix_order(const FixSession& session, const FixRequest& asked) const {
  if (asked.order_id != 0) {
    const Order* order = orders_.find(asked.order_id);
    return order != nullptr && order->firm == session.firm ? order : nullptr;
  }
  return orders_.find_client(session.firm, asked.original_id.empty() ? asked.client_id : asked.original_id);
}

// The trade date of what is asked: that of the order, or of the instrument that is named.
TradingDay ExchangeMachine::fix_day(const FixSession& session, const FixRequest& asked, const Now& now) const {
  if (asked.ask == FixAsk::enter) return trading_day(directory_.listing(asked.order.symbol), now.time);
  const Order* order = fix_order(session, asked);
  return trading_day(order == nullptr ? directory_.listing(asked.symbol) : &directory_.listing(order->instrument),
                     now.time);
}

// BusinessMessageReject(j).
void ExchangeMachine::fix_business_reject(FixSession& session, const FixRequest& asked, std::string_view text) {
  constexpr std::string_view kTypes[] = {"D", "F", "G", "H", "AF", "q", "AD"};
  std::string out;
  add_field(out, kRefMsgType, kTypes[static_cast<size_t>(asked.ask)]);
  if (!asked.client_id.empty()) add_field(out, kBusinessRejectRefID, asked.client_id);
  add_field(out, kBusinessRejectReason, "0");
  add_field(out, kText, printable(text));
  fix_.say(session, "j", {}, out);
}

// Whether a possible resend is answered: what is known is not done again. Of earlier trade dates no ClOrdIDs are known: what may have
// been done then is refused.
bool ExchangeMachine::fix_known(FixSession& session, FixRequest& asked, const Now& now) {
  if (!asked.possible_resend) return false;
  if (const Order* known = orders_.find_client(session.firm, asked.client_id)) {
    fix_.say(session, "8", {}, status_body(*known, {}));
    return true;
  }
  const TradingDay day = fix_day(session, asked, now);
  if (orders_.taken(session.firm, asked.client_id, day)) {
    fix_business_reject(session, asked, kForgotten);
    return true;
  }
  if (asked.first_asked < day.begins) {
    asked.refused = Rejected::other;
    asked.text = kOfAnotherDay;
  }
  return false;
}

void ExchangeMachine::fix_enter(FixSession& session, FixRequest& asked, Now& now) {
  NewOrder& order = asked.order;
  order.firm = session.spec.firm;
  order.client_id = asked.client_id;
  if (fix_known(session, asked, now)) return;
  if (asked.refused) return report_rejected(session, asked, static_cast<uint32_t>(*asked.refused), asked.text);
  // Its first reports are made while it is entered.
  const uint64_t id = orders_.next_id();
  fix_.route(id, session.number);
  orders_.set_parties(id, asked.parties);
  const Result<uint64_t> entered = enter(order, now);
  if (entered) return;
  fix_.unroute(id);
  orders_.set_parties(id, {});
  report_rejected(session, asked, fix_reason(entered.error(), static_cast<uint32_t>(Rejected::other)),
                  entered.error().message);
}

// What the request says of the order beside its name must be so.
std::optional<Error> ExchangeMachine::judge_named(const FixRequest& asked, const Order& order) const {
  if (!asked.original_id.empty() && asked.original_id != order.client_id)
    return not_cancelled(CancelRejected::unknown_order, "the order's ClOrdID is " + order.client_id);
  const bool same =
      (asked.symbol.empty() || asked.symbol == directory_.listing(order.instrument).instrument().symbol) &&
      (asked.account.empty() || asked.account == directory_.account(order.account).name) &&
      (!asked.side || *asked.side == order.funds.side);
  if (same) return std::nullopt;
  return not_cancelled(CancelRejected::other, "symbol, side and account are those of the order");
}

void ExchangeMachine::fix_cancel(FixSession& session, FixRequest& asked, Now& now) {
  const Order* order = fix_order(session, asked);
  const TradingDay day = fix_day(session, asked, now);
  if (asked.possible_resend && orders_.taken(session.firm, asked.client_id, day)) {
    if (order == nullptr) return fix_business_reject(session, asked, kForgotten);
    return fix_.say(session, "8", {}, status_body(*order, {}));
  }
  const auto judge = [&]() -> Result<void> {
    if (asked.refused) return not_cancelled(CancelRejected::other, asked.text);
    if (order == nullptr) return not_cancelled(CancelRejected::unknown_order, "the firm has no such order");
    if (!valid_client_id(asked.client_id)) return not_cancelled(CancelRejected::other, kBadClientId);
    if (orders_.taken(session.firm, asked.client_id, day))
      return not_cancelled(CancelRejected::duplicate, "ClOrdID " + asked.client_id + " was used today");
    if (std::optional<Error> error = judge_named(asked, *order)) return std::move(*error);
    return judge_client_ids(directory_.firm(session.firm), day);
  };
  Result<void> done = judge();
  if (done) done = cancel({session.spec.firm, order->id, asked.client_id}, now);
  if (!done) return fix_cancel_rejected(session, asked, order, done.error());
  orders_.use_up(session.firm, asked.client_id, order->id, day);
}

void ExchangeMachine::fix_replace(FixSession& session, FixRequest& asked, Now& now) {
  const Order* order = fix_order(session, asked);
  if (fix_known(session, asked, now)) return;
  const auto judge = [&]() -> Result<void> {
    if (asked.refused) return not_cancelled(CancelRejected::other, asked.text);
    if (order == nullptr) return not_cancelled(CancelRejected::unknown_order, "the firm has no such order");
    if (std::optional<Error> error = judge_named(asked, *order)) return std::move(*error);
    return {};
  };
  Result<void> done = judge();
  if (done) {
    ReplaceOrder& change = asked.change;
    change.firm = session.spec.firm;
    change.order_id = order->id;
    change.original_id = asked.original_id;
    change.client_id = asked.client_id;
    const std::string before(orders_.parties(order->id));
    if (!asked.parties.empty()) orders_.set_parties(order->id, asked.parties);
    done = replace(change, now);
    if (!done) orders_.set_parties(order->id, before);
  }
  if (!done) fix_cancel_rejected(session, asked, order, done.error());
}

// OrderCancelReject(9).
void ExchangeMachine::fix_cancel_rejected(FixSession& session, const FixRequest& asked, const Order* order,
                                          const Error& error) {
  std::string out;
  add_field(out, kOrderID, order == nullptr ? "NONE" : std::to_string(order->id));
  add_field(out, kClOrdID, asked.client_id);
  add_field(out, kOrigClOrdID, asked.original_id.empty() ? "NONE" : asked.original_id);
  const char status = order == nullptr ? '8' : fix_status(*order);
  add_field(out, kOrdStatus, std::string_view(&status, 1));
  if (order != nullptr) add_field(out, kAccount, directory_.account(order->account).name);
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  add_field(out, kCxlRejResponseTo, asked.ask == FixAsk::cancel ? "1" : "2");
  // What orders are refused for has other numbers than what cancels are.
  const uint32_t reason = fix_reason(error, static_cast<uint32_t>(CancelRejected::other));
  const bool of_cancels = reason <= 1 || reason == static_cast<uint32_t>(CancelRejected::duplicate);
  const bool of_order = error.code == Errc::refused && asked.ask == FixAsk::replace && !of_cancels;
  add_field(out, kCxlRejReason,
            static_cast<int64_t>(of_order ? static_cast<uint32_t>(CancelRejected::other_rule) : reason));
  add_field(out, kText, printable(error.message));
  fix_.say(session, "9", {}, out);
}

void ExchangeMachine::fix_status(FixSession& session, const FixRequest& asked, const Now& now) {
  std::string more;
  if (!asked.request_id.empty()) add_field(more, kOrdStatusReqID, asked.request_id);
  if (const Order* order = fix_order(session, asked)) return fix_.say(session, "8", {}, status_body(*order, more));
  const std::string& name = asked.original_id.empty() ? asked.client_id : asked.original_id;
  const bool forgotten = asked.order_id == 0
                             ? orders_.taken(session.firm, name, fix_day(session, asked, now))
                             : asked.order_id < orders_.next_id() && orders_.find(asked.order_id) == nullptr;
  if (forgotten) return fix_business_reject(session, asked, kForgotten);
  std::string out;
  add_field(out, kOrderID, asked.order_id == 0 ? "NONE" : std::to_string(asked.order_id));
  add_field(out, kClOrdID, asked.client_id);
  add_field(out, kExecID, "0");
  add_field(out, kExecType, "I");
  add_field(out, kOrdStatus, "8");
  if (!asked.symbol.empty()) add_field(out, kSymbol, asked.symbol);
  add_field(out, kSide, asked.side == book::Side::sell ? "2" : "1");
  add_field(out, kLeavesQty, "0");
  add_field(out, kCumQty, "0");
  add_field(out, kAvgPx, "0");
  add_field(out, kOrdRejReason, "5");
  add_field(out, kText, "the firm has no such order");
  fix_.say(session, "8", {}, out + more);
}

// Open orders of the firm that are asked for; nullopt: more than one entry may hold, or look at.
std::optional<std::vector<const Order*>> ExchangeMachine::fix_open_orders(const FixSession& session,
                                                                          const FixRequest& asked) const {
  std::vector<const Order*> found;
  size_t looks = 0;
  const auto& names = directory_.account_names();
  for (auto at = names.lower_bound({session.firm, asked.account}); at != names.end(); ++at) {
    if (at->first.first != session.firm || (!asked.account.empty() && at->first.second != asked.account)) break;
    if (++looks > kSweepVisits) return std::nullopt;
    auto open = orders_.next_open({at->second, 0});
    for (; open && open->first == at->second; open = orders_.next_open(*open)) {
      const Order& order = *orders_.find(open->second);
      const std::string& symbol = directory_.listing(order.instrument).instrument().symbol;
      const bool wanted =
          (asked.symbol.empty() || asked.symbol == symbol) && (!asked.side || *asked.side == order.funds.side);
      if (wanted) found.push_back(&order);
      if (++looks > kSweepVisits || found.size() > kFixStatusesMax) return std::nullopt;
    }
  }
  return found;
}

// Too many are refused: narrower requests are answered.
void ExchangeMachine::fix_mass_status(FixSession& session, const FixRequest& asked) {
  const auto found = fix_open_orders(session, asked);
  if (!found || found->empty()) {
    std::string out;
    add_field(out, kRefMsgType, "AF");
    add_field(out, kBusinessRejectRefID, asked.client_id);
    add_field(out, kBusinessRejectReason, found ? "1" : "0");
    add_field(out, kText, found ? "there are no such open orders" : "too many orders: ask by account, symbol or side");
    return fix_.say(session, "j", {}, out);
  }
  for (size_t n = 0; n < found->size(); ++n) {
    std::string more;
    add_field(more, kMassStatusReqID, asked.client_id);
    add_field(more, kTotNumReports, static_cast<int64_t>(found->size()));
    add_field(more, kLastRptRequested, n + 1 == found->size() ? "Y" : "N");
    fix_.say(session, "8", {}, status_body(*(*found)[n], more));
  }
}

// OrderMassCancelReport(r) that says no.
void ExchangeMachine::fix_mass_refused(FixSession& session, const FixRequest& asked, uint32_t reason,
                                       std::string_view text) {
  std::string out;
  add_field(out, kClOrdID, asked.client_id);
  add_field(out, kOrderID, "NONE");
  add_field(out, kMassCancelRequestType, std::string(1, static_cast<char>(asked.request_type)));
  add_field(out, kMassCancelResponse, "0");
  add_field(out, kMassCancelRejectReason, static_cast<int64_t>(reason));
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  add_field(out, kText, printable(text));
  fix_.say(session, "r", {}, out);
}

void ExchangeMachine::fix_mass_cancel(FixSession& session, const FixRequest& asked, Now& now) {
  constexpr uint32_t kOther = 99;
  constexpr uint32_t kUnknownSecurity = 1;
  if (asked.refused) return fix_mass_refused(session, asked, 0, asked.text);
  if (!valid_client_id(asked.client_id)) return fix_mass_refused(session, asked, kOther, kBadClientId);
  const TradingDay day = utc_day(now.time);
  if (orders_.taken(session.firm, asked.client_id, day))
    return fix_mass_refused(session, asked, kOther, "ClOrdID " + asked.client_id + " was used today");
  if (asked.possible_resend && asked.first_asked < day.begins)
    return fix_mass_refused(session, asked, kOther, kOfAnotherDay);
  if (sweeps_.size() >= kSweepsMax) return fix_mass_refused(session, asked, kOther, "too many mass cancels go on");
  if (const Result<void> ids = judge_client_ids(directory_.firm(session.firm), day); !ids)
    return fix_mass_refused(session, asked, kOther, ids.error().message);
  const Whose whose = asked.account.empty() ? Whose::firm : Whose::account;
  Result<Sweep> sweep = sweep_of(whose, session.spec.firm, asked.account, asked.symbol, now);
  if (!sweep) {
    const bool symbol = directory_.listing(asked.symbol) == nullptr && !asked.symbol.empty();
    return fix_mass_refused(session, asked, symbol ? kUnknownSecurity : kOther, sweep.error().message);
  }
  sweep->side = asked.side;
  orders_.use_up(session.firm, asked.client_id, 0, day);
  fix_.await(own_.next_sweep,
             {session.number, asked.client_id, asked.account, asked.symbol, asked.side, asked.request_type});
  begin(*sweep, now);
}

// OrderMassCancelReport(r), behind the last of the cancelled orders' reports.
void ExchangeMachine::fix_mass_done(const Sweep& sweep) {
  const std::optional<FixMassCancel> asked = fix_.take_mass(sweep.number);
  if (!asked) return;
  std::string out;
  add_field(out, kClOrdID, asked->client_id);
  add_field(out, kOrderID, "M" + std::to_string(sweep.number));
  add_field(out, kMassCancelRequestType, std::string(1, static_cast<char>(asked->type)));
  add_field(out, kMassCancelResponse, std::string(1, static_cast<char>(asked->type)));
  add_field(out, kTotalAffectedOrders, static_cast<int64_t>(sweep.ended));
  if (!asked->symbol.empty()) add_field(out, kSymbol, asked->symbol);
  if (asked->side) add_field(out, kSide, *asked->side == book::Side::buy ? "1" : "2");
  fix::add_timestamp(out, kTransactTime, fix_.now(), 3);
  fix_.say(fix_.at(asked->session), "r", {}, out);
}

}  // namespace heptane::fintech::exchange
