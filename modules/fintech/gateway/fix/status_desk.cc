#include "modules/fintech/gateway/fix/status_desk.h"

#include <array>

#include "modules/fintech/domain/fix/tags.h"
#include "modules/fintech/machine/exchange/fix_words.h"

namespace heptane::fintech::fixgate {

namespace {

using fix::add_field;
using fix::Message;
using market::Quote;
using market::WatchId;

// By book::Phase.
constexpr std::array<std::string_view, book::kPhases> kTradingStatuses = {
    "18",  // closed: not available for trading
    "21",  // opening_call: pre-open
    "17",  // continuous: ready to trade
    "21",  // auction_call
    "21",  // closing_call
    "2",   // halted: trading halt
};
constexpr std::array<std::string_view, book::kPhases> kSessionStatuses = {
    "3",  // closed
    "4",  // opening_call: pre-open
    "2",  // continuous: open
    "4",  // auction_call
    "5",  // closing_call: pre-close
    "1",  // halted
};
constexpr std::string_view kUnknownOrInvalid = "20";  // SecurityTradingStatus(326)
constexpr std::string_view kRequestRejected = "6";    // TradSesStatus(340)

std::string said_in(const Message& message, int32_t tag) { return std::string(message.find(tag).value_or("")); }

}  // namespace

// ---- requests

void StatusDesk::on_request(const Message& message) {
  const Of of = message.type() == "g" ? Of::session : Of::instrument;
  Request request;
  request.key = {of, said_in(message, of == Of::session ? kTradSesReqID : kSecurityStatusReqID)};
  request.symbol = said_in(message, of == Of::session ? int32_t{kTradingSessionID} : int32_t{exchange::kSymbol});
  const std::string type = said_in(message, kSubscriptionRequestType);
  if (type == "2" && watches_.contains(request.key)) return end(request.key);
  if (request.symbol.empty()) return ask_for_a_session(message);
  if (type == "2") return refuse(request, false, "there is no such request");
  if (type != "0" && type != "1") return refuse(request, false, "SubscriptionRequestType(263) is 0, 1 or 2");
  if (watches_.contains(request.key)) return refuse(request, false, "the id is in use");
  if (requests_.size() >= kRequestsMax)
    return refuse(request, false, "a connection has at most 128 requests of statuses");
  request.stays = type == "1";
  begin(std::move(request));
}

// An h names its trading session.
void StatusDesk::ask_for_a_session(const Message& message) {
  constexpr std::string_view kFieldMissing = "5";
  std::string body;
  add_field(body, exchange::kRefSeqNum, static_cast<int64_t>(message.number(fix::kMsgSeqNum).value_or(0)));
  add_field(body, exchange::kRefMsgType, message.type());
  add_field(body, exchange::kBusinessRejectReason, kFieldMissing);
  add_field(body, exchange::kText, "TradingSessionID(336) is missing: the instrument's symbol");
  host_.say({"j", {}, body});
}

// Its phase alone matters: the best level is the least that can be watched.
void StatusDesk::begin(Request request) {
  const WatchId watch = feed_.watch_book(*this, request.symbol, 1);
  watches_.emplace(request.key, watch);
  requests_.emplace(watch, std::move(request));
}

void StatusDesk::end(const Key& key) {
  const auto found = watches_.find(key);
  feed_.unwatch(found->second);
  requests_.erase(found->second);
  watches_.erase(found);
}

void StatusDesk::refuse(const Request& request, bool unknown, const std::string& text) {
  const auto& [of, id] = request.key;
  std::string body;
  if (of == Of::session) {
    add_field(body, kTradSesReqID, id);
    add_field(body, kTradingSessionID, request.symbol);
    add_field(body, kTradSesStatus, kRequestRejected);
    add_field(body, kTradSesStatusRejReason, unknown ? "1" : "99");
  } else {
    add_field(body, kSecurityStatusReqID, id);
    add_field(body, exchange::kSymbol, request.symbol);
    add_field(body, kSecurityTradingStatus, kUnknownOrInvalid);
  }
  add_field(body, exchange::kText, exchange::printable(text));
  host_.say({of == Of::session ? "h" : "f", {}, body});
}

// ---- what is told

void StatusDesk::on_snapshot(WatchId watch, const Quote& quote, const exchange::Depth&) {
  Request& request = requests_.at(watch);
  if (request.told != quote.phase) say(request, quote);
  if (!request.stays) end(Key(request.key));
}

void StatusDesk::on_changes(WatchId watch, const Quote& quote, uint64_t, const exchange::Depth&,
                            const std::vector<exchange::LevelChange>&) {
  Request& request = requests_.at(watch);
  if (request.told != quote.phase) say(request, quote);
}

void StatusDesk::say(Request& request, const Quote& quote) {
  const auto& [of, id] = request.key;
  const bool is_session = of == Of::session;
  std::string body;
  add_field(body, is_session ? kTradSesReqID : kSecurityStatusReqID, id);
  add_field(body, is_session ? int32_t{kTradingSessionID} : int32_t{exchange::kSymbol}, request.symbol);
  add_field(body, kUnsolicitedIndicator, request.told ? "Y" : "N");
  const auto phase = static_cast<size_t>(quote.phase);
  if (is_session)
    add_field(body, kTradSesStatus, kSessionStatuses[phase]);
  else
    add_field(body, kSecurityTradingStatus, kTradingStatuses[phase]);
  if (!is_session && quote.last_price) fix::add_decimal(body, exchange::kLastPx, *quote.last_price, quote.price_scale);
  add_field(body, exchange::kText, exchange::phase_name(quote.phase));
  host_.say({is_session ? "h" : "f", {}, body});
  request.told = quote.phase;
}

void StatusDesk::on_ended(WatchId watch, const Error& why) {
  const auto found = requests_.find(watch);
  const Request request = std::move(found->second);
  requests_.erase(found);
  watches_.erase(request.key);
  refuse(request, why.code == Errc::not_found, why.message);
}

}  // namespace heptane::fintech::fixgate
