#include "modules/fintech/gateway/fix/requests.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include "modules/fintech/domain/fix/encode.h"
#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/domain/fix/values.h"
#include "modules/fintech/gateway/fix/status_desk.h"
#include "modules/fintech/machine/exchange/fix_words.h"
#include "modules/fintech/machine/exchange/parties.h"

namespace heptane::fintech::fixgate {

namespace {

using exchange::FixAsk;
using exchange::FixRequest;
using exchange::Rejected;
using exchange::Said;
using fix::Message;

// What answers repeat: of orders their terms, and ids.
constexpr int32_t kTerms[] = {exchange::kAccount, exchange::kSymbol, exchange::kSide,   exchange::kOrderQty,
                              exchange::kOrdType, exchange::kPrice,  exchange::kStopPx, exchange::kTimeInForce};
constexpr int32_t kIds[] = {exchange::kClOrdID,         exchange::kOrderID,        exchange::kOrigClOrdID,
                            exchange::kMassStatusReqID, exchange::kOrdStatusReqID, exchange::kTradeRequestID};

constexpr int kDecimalsMax = 18;

std::string text_of(const Message& message, int32_t tag) { return std::string(message.find(tag).value_or("")); }

// `12.50` as it was said. None: more digits than there are.
std::optional<Said> said_of(std::string_view text) {
  const size_t point = text.find('.');
  std::string_view decimals = point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  while (decimals.ends_with('0')) decimals.remove_suffix(1);
  if (decimals.size() > kDecimalsMax) return std::nullopt;
  const auto scale = static_cast<int>(decimals.size());
  const std::optional<int64_t> digits = fix::decimal_of(text, scale);
  if (!digits) return std::nullopt;
  return Said{*digits, static_cast<uint8_t>(scale)};
}

// TransactTime, or when it was sent.
LogTime first_asked(const Message& message) {
  LogTime first = INT64_MAX;
  for (const int32_t tag :
       {int32_t{exchange::kTransactTime}, int32_t{fix::kOrigSendingTime}, int32_t{fix::kSendingTime}})
    if (const auto time = message.timestamp(tag)) first = std::min<LogTime>(first, *time);
  return first;
}

// The first thing that is wrong stays.
void refuse(FixRequest& request, Rejected why, const std::string& text) {
  if (request.refused) return;
  constexpr size_t kTextMax = 200;
  request.refused = why;
  request.text = text.substr(0, kTextMax);
}

std::optional<Said> said_or_none(FixRequest& request, const Message& message, int32_t tag, const char* name) {
  const auto text = message.find(tag);
  if (!text) return std::nullopt;
  const std::optional<Said> said = said_of(*text);
  if (!said) refuse(request, Rejected::other, std::string(name) + " has too many digits");
  return said;
}

Said said(FixRequest& request, const Message& message, int32_t tag, const char* name) {
  if (!message.find(tag)) refuse(request, Rejected::other, std::string(name) + " is missing");
  return said_or_none(request, message, tag, name).value_or(Said());
}

template <class E, size_t kCount>
void read_letter(FixRequest& request, const char (&letters)[kCount], std::string_view value, const char* name,
                 E& into) {
  const char* found = std::find(letters, letters + kCount, value.empty() ? '\0' : value[0]);
  if (value.size() != 1 || found == letters + kCount)
    return refuse(request, Rejected::unsupported, std::string(name) + " " + std::string(value) + " is not supported");
  into = static_cast<E>(found - letters);
}

std::optional<book::Side> side_of(FixRequest& request, const Message& message) {
  const auto value = message.find(exchange::kSide);
  if (!value) return std::nullopt;
  if (*value == "1") return book::Side::buy;
  if (*value == "2") return book::Side::sell;
  refuse(request, Rejected::unsupported, "Side(54) " + std::string(*value) + " is not supported: 1 or 2");
  return std::nullopt;
}

// ExecInst(18): 6 alone.
void read_instructions(FixRequest& request, const Message& message) {
  std::string_view rest = message.find(exchange::kExecInst).value_or("");
  while (!rest.empty()) {
    const std::string_view one = rest.substr(0, rest.find(' '));
    rest.remove_prefix(std::min(rest.size(), one.size() + 1));
    if (one == "6")
      request.order.post_only = true;
    else if (!one.empty())
      refuse(request, Rejected::unsupported, "ExecInst(18) " + std::string(one) + " is not supported: 6 is");
  }
}

// ExpireTime(126), or the end of ExpireDate(432) in UTC.
void read_expiry(FixRequest& request, const Message& message) {
  exchange::NewOrder& order = request.order;
  if (order.tif != book::TimeInForce::gtd) return;
  if (const auto time = message.timestamp(exchange::kExpireTime)) {
    order.expires_at = *time;
  } else if (const auto date = fix::timestamp_of(text_of(message, exchange::kExpireDate) + "-00:00:00")) {
    order.expires_at = exchange::end_of_day(*date);
  } else {
    refuse(request, Rejected::other, "ExpireTime(126) or ExpireDate(432) is missing");
  }
}

void read_self_trade(FixRequest& request, const Message& message) {
  const std::string_view value = message.find(exchange::kSelfTradePrevention).value_or("N");
  if (value == "O") request.order.self_trade = book::SelfTrade::cancel_oldest;
  if (value == "B") request.order.self_trade = book::SelfTrade::cancel_both;
}

void read_order(FixRequest& request, const Message& message) {
  using book::OrderType;
  exchange::NewOrder& order = request.order;
  for (const int32_t tag : kTerms)
    if (const auto value = message.find(tag)) fix::add_field(request.echoed, tag, *value);
  order.account = request.account;
  order.symbol = request.symbol;
  order.side = request.side.value_or(book::Side::buy);
  order.quantity = said(request, message, exchange::kOrderQty, "OrderQty(38)");
  read_letter(request, exchange::kOrdTypes, message.find(exchange::kOrdType).value_or(""), "OrdType(40)", order.type);
  read_letter(request, exchange::kTimesInForce, message.find(exchange::kTimeInForce).value_or("0"), "TimeInForce(59)",
              order.tif);
  if (order.type == OrderType::limit || order.type == OrderType::stop_limit)
    order.price = said(request, message, exchange::kPrice, "Price(44)");
  if (order.type == OrderType::stop || order.type == OrderType::stop_limit)
    order.stop_price = said(request, message, exchange::kStopPx, "StopPx(99)");
  order.display = said_or_none(request, message, exchange::kMaxFloor, "MaxFloor(111)").value_or(Said());
  order.minimum = said_or_none(request, message, exchange::kMinQty, "MinQty(110)").value_or(Said());
  read_instructions(request, message);
  read_expiry(request, message);
  read_self_trade(request, message);
  if (order.account.empty()) refuse(request, Rejected::unknown_account, "Account(1) is missing");
}

void read_change(FixRequest& request, const Message& message) {
  exchange::ReplaceOrder& change = request.change;
  change.quantity = said(request, message, exchange::kOrderQty, "OrderQty(38)");
  change.display = said_or_none(request, message, exchange::kMaxFloor, "MaxFloor(111)");
  change.price = said_or_none(request, message, exchange::kPrice, "Price(44)");
  change.stop_price = said_or_none(request, message, exchange::kStopPx, "StopPx(99)");
}

bool is_of_parties(const fix::FieldView& field) {
  constexpr int32_t kTags[] = {exchange::kNoPartyIDs,    exchange::kPartyID,       exchange::kPartyIDSource,
                               exchange::kPartyRole,     exchange::kNoPartySubIDs, exchange::kPartySubID,
                               exchange::kPartySubIDType};
  return std::find(std::begin(kTags), std::end(kTags), field.tag) != std::end(kTags);
}

std::optional<fix::Fault> fault_of_parties(const Message& message) {
  for (const fix::FieldView& field : message.fields())
    if (is_of_parties(field) && field.size > kIdBytesMax)
      return fix::Fault{fix::RejectReason::value_out_of_range, field.tag};
  return std::nullopt;
}

// As they came. None is not said again.
void read_parties(FixRequest& request, const Message& message) {
  size_t count = 0;
  std::string parties;
  for (const fix::FieldView& field : message.fields()) {
    if (!is_of_parties(field)) continue;
    if (field.tag == exchange::kPartyID) ++count;
    fix::add_field(parties, field.tag, message.value(field));
  }
  if (count > exchange::kFixPartiesMax)
    return refuse(request, Rejected::other, "an order has at most 8 parties: NoPartyIDs(453)");
  if (parties.size() > exchange::kFixPartiesBytesMax)
    return refuse(request, Rejected::other, "the parties of an order have at most 768 bytes: NoPartyIDs(453)");
  if (count > 0) request.parties = std::move(parties);
}

// All of the firm's, or those of an instrument.
void read_type(FixRequest& request, const Message& message, int32_t tag, const char* name) {
  const std::string value = text_of(message, tag);
  request.request_type = value.empty() ? 0 : static_cast<uint8_t>(value[0]);
  if (value == "1" && request.symbol.empty()) refuse(request, Rejected::other, "Symbol(55) is missing");
  if (value == "7") request.symbol.clear();
  if (value != "1" && value != "7")
    refuse(request, Rejected::unsupported, std::string(name) + " " + value + " is not supported: 1 or 7");
}

void refuse_capture(FixRequest& request, exchange::TradeResult why, const std::string& text) {
  if (!request.refused) request.trades.result = why;
  refuse(request, Rejected::other, text);
}

// A number of the exchange's; what is none is nobody's.
uint64_t number_in(const Message& message, int32_t tag) {
  const auto text = message.find(tag);
  return text ? fix::number_of(*text).value_or(UINT64_MAX) : 0;
}

// TradeDate(75) of NoDates(580): one, or the first and the last.
void read_dates(FixRequest& request, const Message& message) {
  exchange::FixTrades& trades = request.trades;
  size_t count = 0;
  for (const fix::FieldView& field : message.fields()) {
    if (field.tag != exchange::kTradeDate) continue;
    const auto time = fix::timestamp_of(std::string(message.value(field)) + "-00:00:00");
    if (!time) return refuse(request, Rejected::other, "TradeDate(75) is YYYYMMDD");
    trades.to = *time / exchange::kDayNs;
    if (++count == 1) trades.from = trades.to;
  }
  if (count > 2) refuse(request, Rejected::other, "NoDates(580) is 1, or 2: the first and the last");
}

// Of what may be asked for by there is much that the exchange does not know: more than was asked for is not told.
void read_capture(FixRequest& request, const Message& message) {
  constexpr int32_t kUnknown[] = {22,
                                  48,
                                  60,
                                  150,
                                  336,
                                  442,
                                  555,
                                  571,
                                  573,
                                  578,
                                  579,
                                  625,
                                  711,
                                  715,
                                  726,
                                  818,
                                  820,
                                  828,
                                  829,
                                  830,
                                  855,
                                  943,
                                  exchange::kNoPartyIDs};
  const std::string type = text_of(message, exchange::kTradeRequestType);
  request.request_type = type.empty() ? 0 : static_cast<uint8_t>(type[0]);
  if (type != "0" && type != "1")
    refuse_capture(request, exchange::TradeResult::type_not_supported, "TradeRequestType(569) is 0 or 1");
  if (text_of(message, kSubscriptionRequestType).find_first_not_of('0') != std::string::npos)
    refuse(request, Rejected::other, "SubscriptionRequestType(263) is 0: drop copies tell what comes");
  if (text_of(message, exchange::kResponseTransportType).find_first_not_of('0') != std::string::npos)
    refuse(request, Rejected::other, "ResponseTransportType(725) is 0");
  for (const int32_t tag : kUnknown)
    if (message.find(tag)) refuse(request, Rejected::other, "trades are not asked for by " + std::to_string(tag));
  request.trades.trade = number_in(message, exchange::kTrdMatchID);
  request.trades.exec = number_in(message, exchange::kExecID);
  read_dates(request, message);
}

}  // namespace

std::optional<FixAsk> ask_of(std::string_view type) {
  if (type == "D") return FixAsk::enter;
  if (type == "F") return FixAsk::cancel;
  if (type == "G") return FixAsk::replace;
  if (type == "H") return FixAsk::status;
  if (type == "AF") return FixAsk::mass_status;
  if (type == "q") return FixAsk::mass_cancel;
  if (type == "AD") return FixAsk::capture;
  return std::nullopt;
}

auth::Verb verb_of(FixAsk ask) {
  switch (ask) {
    case FixAsk::enter: return auth::Verb::create;
    case FixAsk::replace: return auth::Verb::alter;
    case FixAsk::cancel:
    case FixAsk::mass_cancel: return auth::Verb::remove;
    case FixAsk::status:
    case FixAsk::mass_status:
    case FixAsk::capture: break;
  }
  return auth::Verb::read;
}

std::optional<fix::Fault> fault_of_ids(const Message& message) {
  constexpr std::array<int32_t, 7> kTags = {exchange::kSymbol,    kMDReqID,      kSecurityReqID,   kMDEntryType,
                                            kSecurityStatusReqID, kTradSesReqID, kTradingSessionID};
  for (const fix::FieldView& field : message.fields()) {
    if (std::find(kTags.begin(), kTags.end(), field.tag) == kTags.end()) continue;
    if (field.size == 0) return fix::Fault{fix::RejectReason::tag_without_value, field.tag};
    if (field.size > kIdBytesMax) return fix::Fault{fix::RejectReason::value_out_of_range, field.tag};
  }
  return std::nullopt;
}

RequestRead read_request(FixAsk ask, const Message& message, bool keeps_parties) {
  for (const std::span<const int32_t> tags : {std::span<const int32_t>(kTerms), std::span<const int32_t>(kIds)})
    for (const int32_t tag : tags)
      if (message.find(tag).value_or("").size() > kIdBytesMax)
        return fix::Fault{fix::RejectReason::value_out_of_range, tag};
  keeps_parties = keeps_parties && (ask == FixAsk::enter || ask == FixAsk::replace);
  if (keeps_parties)
    if (const auto fault = fault_of_parties(message)) return *fault;
  FixRequest request;
  request.ask = ask;
  request.possible_resend = message.flag(fix::kPossResend);
  if (request.possible_resend) request.first_asked = first_asked(message);
  const bool captures = ask == FixAsk::capture;
  request.client_id = text_of(message, captures                     ? int32_t{exchange::kTradeRequestID}
                                       : ask == FixAsk::mass_status ? int32_t{exchange::kMassStatusReqID}
                                                                    : int32_t{exchange::kClOrdID});
  request.original_id = text_of(message, captures ? exchange::kClOrdID : exchange::kOrigClOrdID);
  request.request_id = text_of(message, exchange::kOrdStatusReqID);
  request.account = text_of(message, exchange::kAccount);
  request.symbol = text_of(message, exchange::kSymbol);
  request.side = side_of(request, message);
  // One that is no number is nobody's.
  if (const auto id = message.find(exchange::kOrderID); id && *id != "NONE")
    request.order_id = fix::number_of(*id).value_or(UINT64_MAX);
  if (ask == FixAsk::enter) read_order(request, message);
  if (ask == FixAsk::replace) read_change(request, message);
  if (keeps_parties) read_parties(request, message);
  if (captures) read_capture(request, message);
  if (ask == FixAsk::mass_cancel) read_type(request, message, exchange::kMassCancelRequestType, "530");
  if (ask == FixAsk::mass_status) {
    read_type(request, message, exchange::kMassStatusReqType, "585");
    if (request.refused) return BusinessReject{request.refused == Rejected::other ? 5u : 0u, request.text};
  }
  return request;
}

}  // namespace heptane::fintech::fixgate
