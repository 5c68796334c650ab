// FIX sessions of the exchange as commands, queries and rows: what a session is set to, what comes of its connection, what it has said.
//
// A session's numbers, what it said and where reports go are state of the exchange machine: a message takes its MsgSeqNum(34) in the entry
// that is its reason. Each session has a stream, `fintech.fix.NAME`, in which every message that took a number is one record; the gateway
// sends what is synced of it, and sends again by reading it. Refusals of kFixInput end the connection: what was sent over it and did not
// come into the log is sent again by the peer. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "modules/fintech/machine/exchange/exchange_api.h"

namespace heptane::fintech::exchange {

constexpr size_t kFixSessionsMax = 1'024;
constexpr size_t kFixDropsMax = 2;  // drop copies of a firm: each is a message more for every report
constexpr size_t kFixEventsPerEntry =
    128;                               // in place of kEventsPerEntry and kSweepEnds while there are sessions: their
constexpr size_t kFixSweepEnds = 200;  // messages, too, are in the entry
constexpr size_t kFixDraftsMax = 64;   // of one command
constexpr size_t kFixDraftBytesMax = 60 * 1024;    // header and body
constexpr size_t kFixDraftsBytesMax = 256 * 1024;  // all drafts of one command
constexpr size_t kFixNameMax = 64;                 // of what an answer repeats
constexpr size_t kFixEchoedMax = 1'024;
constexpr size_t kFixPartiesMax = 8;         // NoPartyIDs(453) of an order
constexpr size_t kFixPartiesBytesMax = 768;  // all of its fields, as they came
// Of one entry while orders with parties are kept: their reports are so much longer.
constexpr size_t kFixPartiesEvents = 64;
constexpr size_t kFixPartiesEnds = 100;
constexpr size_t kFixStatusesMax = 500;        // in the answer to one mass status request
constexpr uint32_t kFixHeartBtIntMax = 3'600;  // seconds
constexpr uint32_t kFixGraceMax = 86'400;
constexpr std::string_view kFixStreams = "fintech.fix.";  // and the session's name
// Session n's stream is view kFixViews + n, for ever: the exchange's other views stay below.
constexpr uint16_t kFixViews = 1'000;
static_assert(kViews <= kFixViews && kFixViews + kFixSessionsMax <= UINT16_MAX);

// market_data: nothing that is said over it is in the log.
enum class FixRole : uint8_t { orders, drop_copy, market_data };
// When a session's open orders are cancelled.
enum class FixCancel : uint8_t { never, on_disconnect, on_disconnect_and_logout };

constexpr uint8_t kFixEveryDay = 7;  // in place of a weekday
constexpr size_t kFixAddressesMax = 16;
constexpr size_t kFixAddressBytesMax = 64;
constexpr uint32_t kFixRateMax = 1'000'000;

// Monday is 0.
std::string_view fix_day_name(uint8_t day);

// StartTime, EndTime, StartDay, EndDay, TimeZone, NonStopSession.
struct FixHours {
  bool non_stop = true;  // then the rest is nothing
  int32_t start_s = 0;   // local time of day
  int32_t end_s = 0;
  uint8_t start_day = kFixEveryDay;
  uint8_t end_day = kFixEveryDay;
  std::string zone = "UTC";  // of the IANA database
  friend bool operator==(const FixHours&, const FixHours&) = default;
};
// When a session may be logged on to, from where, and how fast its peer may be. From version kLogicParties of the logic on.
struct FixAccess {
  FixHours hours;
  std::vector<std::string> addresses;  // blocks such as 10.0.0.0/8, or one address; none: from anywhere
  uint32_t rate = 0;                   // messages a second that are read, a second's worth at once; 0: all
  bool limits() const { return *this != FixAccess(); }
  friend bool operator==(const FixAccess&, const FixAccess&) = default;
};

// Named as QuickFIX names them where it has a name.
struct FixSpec {
  std::string name;     // the peer's CompID
  std::string comp_id;  // ours
  std::string firm;
  FixRole role = FixRole::orders;
  std::string user;  // who logs on, while authentication is on
  uint32_t heart_bt_int_min_s = 1;
  uint32_t heart_bt_int_max_s = kFixHeartBtIntMax;
  uint32_t max_latency_s = 120;  // 0: CheckLatency=N
  uint32_t max_messages_in_resend_request = 0;
  uint8_t timestamp_precision = 3;
  bool reset_on_logon = false;
  bool reset_on_logout = false;
  bool reset_on_disconnect = false;
  bool validate_fields_out_of_order = true;
  bool validate_fields_have_values = true;
  bool validate_user_defined_fields = true;
  FixCancel cancel = FixCancel::never;
  uint32_t grace_s = 0;    // from the end of a connection, or the start of the server, until they are cancelled
  bool spare_gtc = false;  // GTC and GTD orders stay
  FixAccess access;        // is packed beside the rest
};
// kPutFixSession.
struct FixPut {
  FixSpec spec;
};

// The numbers that come next; what was said before is not sent again.
struct FixReset {
  std::string name;
  uint64_t next_in = 1;
  uint64_t next_out = 1;
};

struct FixDraft {
  std::string type;
  std::string header;
  std::string body;
};

enum class FixAsk : uint8_t { enter, cancel, replace, status, mass_status, mass_cancel, capture };

// TradeRequestResult(749).
enum class TradeResult : uint8_t { successful = 0, unknown_instrument = 1, type_not_supported = 8, other = 99 };

// Which trades of the firm a TradeCaptureReportRequest(AD) asks for, beside what FixRequest has.
struct FixTrades {
  uint64_t trade = 0;        // 0: all
  uint64_t exec = 0;         // likewise
  int64_t from = INT64_MIN;  // trade dates, in days since 1970-01-01
  int64_t to = INT64_MAX;
  TradeResult result = TradeResult::successful;  // why it is refused; successful: FixRequest::refused says so, if it is
};

// An application's message as the gateway has read it.
struct FixRequest {
  FixAsk ask = FixAsk::enter;
  bool possible_resend = false;  // PossResend(97)
  LogTime first_asked = 0;       // of one: the earliest time that it says of itself
  std::string client_id;         // ClOrdID(11); of a mass status MassStatusReqID(584), of `capture` TradeRequestID(568)
  std::string original_id;       // OrigClOrdID(41); of `capture` ClOrdID(11)
  uint64_t order_id = 0;         // OrderID(37); 0: none
  std::string request_id;        // OrdStatusReqID(790)
  std::string account;           // of all but `enter`: empty: not said
  std::string symbol;            // likewise
  std::optional<book::Side> side;   // likewise
  uint8_t request_type = 0;         // of mass status, mass cancel and `capture`, as 585, 530 and 569 say it
  NewOrder order;                   // `enter`, without its firm
  ReplaceOrder change;              // `replace`, without firm and order
  std::optional<Rejected> refused;  // it cannot be done, whatever the exchange says
  std::string text;                 // why
  std::string echoed;               // `enter`: the fields that a refusal repeats, as they came
  std::string parties;              // of `enter` and `replace`: 453 and its group, as they came
  FixTrades trades;                 // `capture`
};

struct FixInput {
  std::string session;
  uint64_t connection = 0;  // the gateway's name for it
  uint32_t serial = 0;      // 1, 2, 3 ...: a command that lacks the one before it is refused. 1 opens the connection
  uint64_t had_in = 0;      // of 1: what the gateway takes for the number that is expected of the peer
  bool resets = false;      // first: both directions begin with 1
  uint64_t next_in = 1;     // afterwards
  std::vector<FixDraft> drafts;  // of the session layer: they take numbers before what the request brings
  std::optional<FixRequest> request;
  // From version kLogicParties of the logic on; else it is refused.
  LogTime received = 0;  // when the gateway read the request; 0: not said, nor are parties, and nothing is captured
  LogTime period = 0;    // of 1: when the period of the session's hours began; 0: it has none
};
// What became of it.
struct FixDone {
  uint64_t began = 0;  // the number that its first message took, if it made any
  uint64_t first = 1;  // the lowest number that can be sent again
  Offset base = 0;     // its place in the session's stream; number n lies at base + n - first
  uint64_t next_out = 1;
};
// A connection is over.
struct FixEnd {
  std::string session;  // empty: all of them, the server begins anew
  uint64_t connection = 0;
  uint32_t serial = 0;  // the last one that was sent over it
  bool resets = false;
  uint64_t next_in = 1;
  bool logged_out = false;
};

struct FixRow {
  FixSpec spec;
  PartitionId partition = kNoPartition;
  uint64_t next_in = 1;
  uint64_t next_out = 1;
  bool connected = false;
  LogTime period = 0;  // that its numbers are of; 0: not known
  uint32_t logic = 0;  // the version of the exchange's logic that is in force; 0: not known yet
};

template <>
inline constexpr uint8_t kLast<FixRole> = 2;
template <>
inline constexpr uint8_t kLast<FixCancel> = 2;
template <>
inline constexpr uint8_t kLast<FixAsk> = 6;
template <>
inline constexpr uint8_t kLast<TradeResult> = 99;
template <>
inline constexpr uint8_t kLast<Rejected> = 99;

std::string_view fix_role_name(FixRole role);
std::string_view fix_cancel_name(FixCancel cancel);

template <class A, Same<FixSpec> S>
void fields(A& a, S& t) {
  a(t.name, t.comp_id, t.firm, t.role, t.user, t.heart_bt_int_min_s, t.heart_bt_int_max_s, t.max_latency_s);
  a(t.max_messages_in_resend_request, t.timestamp_precision, t.reset_on_logon, t.reset_on_logout,
    t.reset_on_disconnect);
  a(t.validate_fields_out_of_order, t.validate_fields_have_values, t.validate_user_defined_fields);
  a(t.cancel, t.grace_s, t.spare_gtc);
}
template <class A, Same<FixHours> S>
void fields(A& a, S& t) {
  a(t.non_stop, t.start_s, t.end_s, t.start_day, t.end_day, t.zone);
}
template <class A, Same<FixAccess> S>
void fields(A& a, S& t) {
  a(t.hours, t.addresses, t.rate);
}
template <class A, Same<FixPut> S>
void fields(A& a, S& t) {
  a(t.spec);
  if (a.goes_on(t.spec.access.limits())) a(t.spec.access);
}
template <class A, Same<FixReset> S>
void fields(A& a, S& t) {
  a(t.name, t.next_in, t.next_out);
}
template <class A, Same<FixDraft> S>
void fields(A& a, S& t) {
  a(t.type, t.header, t.body);
}
template <class A, Same<FixTrades> S>
void fields(A& a, S& t) {
  a(t.trade, t.exec, t.from, t.to, t.result);
}
template <class A, Same<FixRequest> S>
void fields(A& a, S& t) {
  a(t.ask, t.possible_resend, t.first_asked, t.client_id, t.original_id, t.order_id, t.request_id, t.account, t.symbol,
    t.side);
  a(t.request_type, t.order, t.change, t.refused, t.text, t.echoed);
}
template <class A, Same<FixInput> S>
void fields(A& a, S& t) {
  a(t.session, t.connection, t.serial, t.had_in, t.resets, t.next_in, t.drafts, t.request);
  if (!a.goes_on(t.received != 0 || t.period != 0)) return;
  a(t.received, t.period);
  if (!t.request) return;
  a(t.request->parties);
  if (t.request->ask == FixAsk::capture) a(t.request->trades);
}
template <class A, Same<FixDone> S>
void fields(A& a, S& t) {
  a(t.began, t.first, t.base, t.next_out);
}
template <class A, Same<FixEnd> S>
void fields(A& a, S& t) {
  a(t.session, t.connection, t.serial, t.resets, t.next_in, t.logged_out);
}
template <class A, Same<FixRow> S>
void fields(A& a, S& t) {
  a(t.spec, t.spec.access, t.partition, t.next_in, t.next_out, t.connected, t.period, t.logic);
}

}  // namespace heptane::fintech::exchange
