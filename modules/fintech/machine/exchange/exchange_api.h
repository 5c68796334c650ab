// Commands, queries and rows of the exchange machine. Payloads are packed structs (packed.h). Prices and quantities travel as
// digits with their decimals, as they were said: the machine brings them to the instrument's scales when it applies the command.
//
// Refused: Reply::error and a message that names the limit, its value and the order's; Reply::detail is FIX 4.4's OrdRejReason(103)
// of an order and CxlRejReason(102) of a cancel or replace, plus kFixReason; 0: the request as such is wrong. What is refused leaves
// nothing. Its commands are in no transaction. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/ids.h"
#include "kernel/shard/views.h"
#include "modules/fintech/domain/exchange/depth.h"
#include "modules/fintech/domain/exchange/fees.h"
#include "modules/fintech/domain/exchange/holds.h"
#include "modules/fintech/domain/exchange/instrument.h"
#include "modules/fintech/domain/exchange/limits.h"
#include "modules/fintech/domain/exchange/port.h"
#include "modules/fintech/machine/exchange/packed.h"

namespace heptane::fintech::exchange {

static_assert(kExchangeMachineId == machine_ids::kFirstModule + 9);

enum ExchangeCommand : CommandType {
  kPutInstrument = 1,  // InstrumentSpec. Reply numbers: its number, 1 when it is new. Refused: not_found (an asset),
  // invalid_argument, refused (scales, ticks, lot and assets change only closed and empty), overloaded
  kPutFirm = 2,       // FirmSpec. Reply numbers: its number. Refused: exists, invalid_argument, overloaded
  kPutAccount = 3,    // AccountSpec. Likewise; not_found (the firm)
  kPutLimits = 4,     // LimitsSpec. Refused: not_found
  kDeposit = 5,       // CashMove: omnibus -> available. Reply numbers: its number. Refused: not_found, refused
  kWithdraw = 6,      // CashMove: available -> omnibus. Likewise
  kNewOrder = 7,      // NewOrder. Reply payload OrderRow; numbers: order id
  kCancelOrder = 8,   // CancelOrder. Likewise
  kReplaceOrder = 9,  // ReplaceOrder. Likewise
  kMassCancel = 10,   // MassCancelOrders. Reply numbers: its number, orders that were cancelled by now
  kSetPhase = 11,     // PhaseChange. Reply numbers: 1 when it waits for work that is going on
  kSwitch = 12,       // SwitchChange: kill, or lift it. Reply numbers: its number, orders that were cancelled by now
  // FIX (fix_api.h).
  kPutFixSession = 13,  // FixPut: adds or changes. Reply numbers: its number, 1 when it is new. Refused: not_found (the
                        // firm), invalid_argument, refused (firm and role stay), exists (its stream), overloaded
  kResetFixSession = 14,  // FixReset. Refused: not_found, invalid_argument
  kFixOrders =
      15,  // FixInput with what needs room: orders, replaces, how they stand. Reply payload: FixDone. Refused: stale, not_found
  kFixInput = 16,  // FixInput with anything else
  kFixEnd = 17,    // FixEnd
  // The machine's own timers.
  kProceed = 20,     // u32: the instrument whose book has work left
  kSweep = 21,       // u64: the mass cancel that goes on
  kExpire = 22,      // orders whose time is over; ClOrdIDs of earlier trade dates
  kFixGrace = 23,    // u32: the FIX session that has not come back
  kFixCapture = 24,  // u64: the request for trades that is being answered
};

enum ExchangeQuery : uint16_t {
  kQueryInstruments = 1,  // Page of symbols. Reply payload: rows of InstrumentRow; numbers: rows, 1 when there are more
  kQueryFirms = 2,        // Page of names. Rows of FirmRow
  kQueryAccounts = 3,     // Page of names of a firm. Rows of AccountRow, with what they hold; not_found
  kQueryOrder = 4,        // OrderQuery. Reply payload OrderRow; not_found
  kQueryOrders = 5,       // OrdersQuery: open ones of a firm by account and id. Rows of OrderRow
  kQueryDepth = 6,        // DepthQuery. Reply payload DepthRow; not_found
  kQueryState = 7,        // Reply payload StateRow
  kQueryFixSessions = 8,  // Page of names. Rows of FixRow
  kQueryMarket = 9,       // MarketQuery (market_api.h). Rows of MarketRow; numbers: how many questions are answered
  kQueryCandles = 10,     // CandlesQuery. Reply payload CandlesRow; not_found
};

// Of the machine's logic: from then on order events say where they come from, parties and trades of firms are kept.
constexpr uint32_t kLogicParties = 3;

constexpr size_t kInstrumentsMax = 1'024;
constexpr size_t kFirmsMax = 4'096;
constexpr size_t kAccountsMax = 65'536;
constexpr size_t kNameMax = 32;               // of firms and accounts: A-Z a-z 0-9 . _ -
constexpr size_t kClientIdMax = 64;           // ClOrdID: printable ASCII without blanks, " and backslash
constexpr uint32_t kClientIdsMax = 1u << 22;  // of a firm on a trade date, those of replaces too
constexpr size_t kReasonMax = 256;
constexpr size_t kFeeClassesMax = 16;
constexpr uint32_t kBookOrdersMax = 1u << 22;     // of one instrument
constexpr uint32_t kAllBookOrdersMax = 1u << 24;  // orders_max of all instruments together: their books are 3.9 GB
constexpr size_t kPageRows = 200;
constexpr uint32_t kDepthLevelsMax = 1'000;
constexpr size_t kEndedKept = 65'536;  // ended orders that can be asked for; the stream has all
// No entry ends more orders or reads more events of a book than this, nor looks at more than 1,000 orders.
constexpr size_t kEventsPerEntry = 256;
constexpr size_t kSweepVisits = 1'000;
constexpr size_t kSweepEnds = 500;
constexpr size_t kForgets = 1'000;    // ClOrdIDs of earlier trade dates
constexpr size_t kSweepsMax = 1'000;  // at a time

// A trade date: of an instrument with a calendar that of its session, from the end of the session before to the end of its own
// (calendars.h); else, and of a firm as a whole, the UTC day.
struct TradingDay {
  int64_t date = 0;  // days since 1970-01-01
  LogTime begins = 0;
  LogTime ends = 0;  // day orders expire
  friend bool operator==(const TradingDay&, const TradingDay&) = default;
};
constexpr LogTime kDayNs = LogTime{86'400} * 1'000'000'000;
constexpr int64_t trade_date(LogTime time) { return time / kDayNs; }
constexpr LogTime end_of_day(LogTime time) { return (trade_date(time) + 1) * kDayNs; }
constexpr TradingDay utc_day(LogTime time) { return {trade_date(time), trade_date(time) * kDayNs, end_of_day(time)}; }

bool valid_name(std::string_view name);
bool valid_client_id(std::string_view id);

// In whole units of the scale. None: it has more decimals, or does not fit.
std::optional<int64_t> at_scale(const Said& said, uint8_t scale);

struct InstrumentSpec {
  Instrument instrument;             // without the assets' scales, which are those of the ledger's registry
  std::vector<FeeRates> fees;        // by class; at least one
  uint32_t orders_max = 0;           // that may be open at a time; fixed while any is
  std::optional<int64_t> reference;  // a price to begin with
};
struct FirmSpec {
  std::string name;
};
struct AccountSpec {
  std::string firm;
  std::string name;
  uint8_t fee_class = 0;
};
enum class Whose : uint8_t { everybody, firm, account, instrument };
std::string_view whose_name(Whose whose);
struct LimitsSpec {  // of a firm or an account, in an instrument
  Whose whose = Whose::account;
  std::string firm;
  std::string account;
  std::string symbol;
  Limits limits;
};
struct CashMove {
  std::string firm;
  std::string account;
  uint32_t asset = 0;  // ledger
  Uint128 digits = 0;
  uint8_t decimals = 0;
};

struct NewOrder {
  std::string firm;
  std::string account;
  std::string client_id;  // ClOrdID: unique for the firm and trade date, and among its open orders
  std::string symbol;
  book::Side side = book::Side::buy;
  book::OrderType type = book::OrderType::limit;
  book::TimeInForce tif = book::TimeInForce::day;
  book::SelfTrade self_trade = book::SelfTrade::cancel_newest;
  bool post_only = false;
  Said price;       // of limit and stop_limit
  Said stop_price;  // of stop and stop_limit
  Said quantity;
  Said display;            // 0: all is shown
  Said minimum;            // 0: none
  LogTime expires_at = 0;  // of gtd
};
struct CancelOrder {
  std::string firm;
  uint64_t order_id = 0;
  std::string client_id;  // of the cancel; may be empty
};
struct ReplaceOrder {
  std::string firm;
  uint64_t order_id = 0;
  std::string original_id;      // the last accepted ClOrdID; empty: whichever it is
  std::string client_id;        // the new one
  Said quantity;                // the total with what is filled
  std::optional<Said> display;  // none: as it was, as long as that is below the quantity
  std::optional<Said> price;    // none: as it was
  std::optional<Said> stop_price;
};
struct MassCancelOrders {
  std::string firm;
  std::string account;  // empty: all of the firm's
  std::string symbol;   // empty: all
  std::optional<book::Side> side;
};
struct PhaseChange {
  std::string symbol;
  book::Phase phase = book::Phase::closed;
  bool uncross = false;  // ends the call first; a price outside the band extends it once, then halts
};
// A kill switch blocks new orders and replaces, and cancels what is open; cancels go on. Lifting it is a command of its own.
struct SwitchChange {
  Whose whose = Whose::everybody;
  std::string firm;
  std::string account;
  std::string symbol;
  bool lift = false;
  std::string reason;
};

// ---- what is shown

struct Block {
  bool on = false;
  std::string reason;
  uint32_t by = 0;  // principal
  LogTime since = 0;
};

enum class OrderStatus : uint8_t {
  open,
  filled,
  cancelled,
  expired,
  done,       // replaced by what is filled already
  in_review,  // shown alone: of one that is open and waits outside of its book (reviews_api.h)
};
std::string_view status_name(OrderStatus status);
std::string_view side_name(book::Side side);
std::string_view type_name(book::OrderType type);
std::string_view tif_name(book::TimeInForce tif);
std::string_view self_trade_name(book::SelfTrade rule);
std::string_view phase_name(book::Phase phase);
std::string_view reason_name(book::Reason reason);

struct Order {
  uint64_t id = 0;
  std::string client_id;
  uint32_t firm = 0;
  uint32_t account = 0;
  uint32_t instrument = 0;
  book::OrderType type = book::OrderType::limit;
  book::TimeInForce tif = book::TimeInForce::day;
  OrderStatus status = OrderStatus::open;
  bool triggered = false;
  OrderFunds funds;  // side, price (limit or protection), leaves
  int64_t stop_price = 0;
  uint64_t quantity = 0;  // total
  uint64_t filled = 0;
  uint64_t display = 0;
  Int128 traded = 0;  // sum of price x quantity of its fills
  LogTime entered = 0;
  LogTime expires_at = 0;  // 0: never
  uint16_t moves = 0;      // holds and releases so far
  uint32_t by = 0;         // principal
};

struct InstrumentRow {
  InstrumentSpec spec;
  book::Phase phase = book::Phase::closed;
  bool working = false;  // earlier work goes on: orders are refused meanwhile
  Block block;
  std::optional<int64_t> last_price;
  uint32_t orders = 0;
};
struct FirmRow {
  std::string name;
  Block block;
};
struct Holding {
  uint32_t asset = 0;
  Uint128 available = 0;
  Uint128 held = 0;
};
struct Position {
  std::string symbol;
  uint8_t quantity_scale = 0;
  Exposure exposure;
};
struct AccountRow {
  std::string name;
  uint8_t fee_class = 0;
  Block block;
  std::vector<Holding> holdings;
  std::vector<Position> positions;
};
struct OrderRow {
  Order order;
  std::string firm;
  std::string account;
  std::string symbol;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint32_t held_asset = 0;
  uint8_t held_scale = 0;
  Uint128 held = 0;
};
struct DepthRow {
  InstrumentRow instrument;
  uint64_t sequence = 0;  // of what is shown
  std::vector<DepthLevel> bids;
  std::vector<DepthLevel> asks;
  bool crosses = false;  // of a call: what it would do now
  int64_t call_price = 0;
  uint64_t call_volume = 0;
  uint64_t call_surplus = 0;
  book::Side surplus_side = book::Side::buy;
};
struct StateRow {
  Block block;  // of everybody
  uint64_t open_orders = 0;
  uint64_t trades = 0;
  uint64_t sweeps = 0;
};

struct Page {
  std::string of;      // the firm
  std::string after;   // names behind this one
  bool alone = false;  // the one of the name
};
struct OrderQuery {
  std::string firm;
  uint64_t order_id = 0;  // 0: by ClOrdID, open or of today
  std::string client_id;
};
struct OrdersQuery {
  std::string firm;
  std::string account;  // empty: all
  uint64_t after_account = 0;
  uint64_t after_order = 0;
};
struct DepthQuery {
  std::string symbol;
  uint32_t levels = 0;
};

// Rows one behind the other.
template <class Row>
std::optional<std::vector<Row>> unpacked_rows(Bytes payload) {
  std::vector<Row> rows;
  Unpacker unpacker(payload);
  while (!unpacker.at_end() && !unpacker.failed()) unpacker(rows.emplace_back());
  if (unpacker.failed()) return std::nullopt;
  return rows;
}

// ---- refusals

constexpr uint32_t kFixReason = 1'000;  // so that 0 is one
enum class Rejected : uint32_t {        // OrdRejReason(103)
  other_rule = 0,
  unknown_symbol = 1,
  closed = 2,
  exceeds_limit = 3,
  duplicate = 6,
  unsupported = 11,
  quantity = 13,
  unknown_account = 15,
  other = 99,
};
enum class CancelRejected : uint32_t { too_late = 0, unknown_order = 1, other_rule = 2, duplicate = 6, other = 99 };

// ---- the streams

constexpr ViewId kOrdersView{kExchangeMachineId, 1};
constexpr ViewId kTradesView{kExchangeMachineId, 2};
constexpr ViewId kRiskView{kExchangeMachineId, 3};
constexpr ViewId kMarketView{kExchangeMachineId, 4};
constexpr size_t kViews = 4;
constexpr std::string_view kStreams[kViews] = {"fintech.orders", "fintech.trades", "fintech.risk", "fintech.market"};

// ---- their fields

template <>
inline constexpr uint8_t kLast<book::Side> = 1;
template <>
inline constexpr uint8_t kLast<book::OrderType> = 3;
template <>
inline constexpr uint8_t kLast<book::TimeInForce> = 6;
template <>
inline constexpr uint8_t kLast<book::SelfTrade> = 3;
template <>
inline constexpr uint8_t kLast<book::Phase> = 5;
template <>
inline constexpr uint8_t kLast<Settlement> = 1;
template <>
inline constexpr uint8_t kLast<Whose> = 3;
template <>
inline constexpr uint8_t kLast<OrderStatus> = 5;

template <class A, Same<Said> S>
void fields(A& a, S& t) {
  a(t.digits, t.decimals);
}
template <class A, Same<PriceStep> S>
void fields(A& a, S& t) {
  a(t.from, t.tick);
}
template <class A, Same<Instrument> S>
void fields(A& a, S& t) {
  a(t.symbol, t.base_asset, t.quote_asset, t.base_scale, t.quote_scale, t.price_scale, t.quantity_scale, t.settlement);
  a(t.steps, t.lot, t.quantity_min, t.quantity_max, t.price_min, t.price_max, t.notional_min, t.collar_ppm,
    t.call_band_ppm);
}
template <class A, Same<FeeRates> S>
void fields(A& a, S& t) {
  a(t.maker_ppm, t.taker_ppm, t.minimum);
}
template <class A, Same<FeeMeter> S>
void fields(A& a, S& t) {
  a(t.whole, t.millionths, t.charged, t.paying);
}
template <class A, Same<OrderFunds> S>
void fields(A& a, S& t) {
  a(t.side, t.price, t.leaves, t.rates, t.meter);
}
template <class A, Same<Limits> S>
void fields(A& a, S& t) {
  a(t.order_quantity_max, t.order_notional_max, t.long_max, t.short_max, t.orders_per_second, t.orders_at_once);
}
template <class A, Same<Exposure> S>
void fields(A& a, S& t) {
  a(t.position, t.open_buys, t.open_sells);
}
template <class A, Same<OrderRate> S>
void fields(A& a, S& t) {
  a(t.full_until);
}
template <class A, Same<InstrumentSpec> S>
void fields(A& a, S& t) {
  a(t.instrument, t.fees, t.orders_max, t.reference);
}
template <class A, Same<FirmSpec> S>
void fields(A& a, S& t) {
  a(t.name);
}
template <class A, Same<AccountSpec> S>
void fields(A& a, S& t) {
  a(t.firm, t.name, t.fee_class);
}
template <class A, Same<LimitsSpec> S>
void fields(A& a, S& t) {
  a(t.whose, t.firm, t.account, t.symbol, t.limits);
}
template <class A, Same<CashMove> S>
void fields(A& a, S& t) {
  a(t.firm, t.account, t.asset, t.digits, t.decimals);
}
template <class A, Same<NewOrder> S>
void fields(A& a, S& t) {
  a(t.firm, t.account, t.client_id, t.symbol, t.side, t.type, t.tif, t.self_trade, t.post_only);
  a(t.price, t.stop_price, t.quantity, t.display, t.minimum, t.expires_at);
}
template <class A, Same<CancelOrder> S>
void fields(A& a, S& t) {
  a(t.firm, t.order_id, t.client_id);
}
template <class A, Same<ReplaceOrder> S>
void fields(A& a, S& t) {
  a(t.firm, t.order_id, t.original_id, t.client_id, t.quantity, t.display, t.price, t.stop_price);
}
template <class A, Same<MassCancelOrders> S>
void fields(A& a, S& t) {
  a(t.firm, t.account, t.symbol, t.side);
}
template <class A, Same<PhaseChange> S>
void fields(A& a, S& t) {
  a(t.symbol, t.phase, t.uncross);
}
template <class A, Same<SwitchChange> S>
void fields(A& a, S& t) {
  a(t.whose, t.firm, t.account, t.symbol, t.lift, t.reason);
}
template <class A, Same<Block> S>
void fields(A& a, S& t) {
  a(t.on, t.reason, t.by, t.since);
}
template <class A, Same<Order> S>
void fields(A& a, S& t) {
  a(t.id, t.client_id, t.firm, t.account, t.instrument, t.type, t.tif, t.status, t.triggered, t.funds, t.stop_price);
  a(t.quantity, t.filled, t.display, t.traded, t.entered, t.expires_at, t.moves, t.by);
}
template <class A, Same<InstrumentRow> S>
void fields(A& a, S& t) {
  a(t.spec, t.phase, t.working, t.block, t.last_price, t.orders);
}
template <class A, Same<FirmRow> S>
void fields(A& a, S& t) {
  a(t.name, t.block);
}
template <class A, Same<Holding> S>
void fields(A& a, S& t) {
  a(t.asset, t.available, t.held);
}
template <class A, Same<Position> S>
void fields(A& a, S& t) {
  a(t.symbol, t.quantity_scale, t.exposure);
}
template <class A, Same<AccountRow> S>
void fields(A& a, S& t) {
  a(t.name, t.fee_class, t.block, t.holdings, t.positions);
}
template <class A, Same<OrderRow> S>
void fields(A& a, S& t) {
  a(t.order, t.firm, t.account, t.symbol, t.price_scale, t.quantity_scale, t.held_asset, t.held_scale, t.held);
}
template <class A, Same<DepthLevel> S>
void fields(A& a, S& t) {
  a(t.price, t.quantity, t.orders);
}
template <class A, Same<DepthRow> S>
void fields(A& a, S& t) {
  a(t.instrument, t.sequence, t.bids, t.asks, t.crosses, t.call_price, t.call_volume, t.call_surplus, t.surplus_side);
}
template <class A, Same<StateRow> S>
void fields(A& a, S& t) {
  a(t.block, t.open_orders, t.trades, t.sweeps);
}
template <class A, Same<Page> S>
void fields(A& a, S& t) {
  a(t.of, t.after, t.alone);
}
template <class A, Same<OrderQuery> S>
void fields(A& a, S& t) {
  a(t.firm, t.order_id, t.client_id);
}
template <class A, Same<OrdersQuery> S>
void fields(A& a, S& t) {
  a(t.firm, t.account, t.after_account, t.after_order);
}
template <class A, Same<DepthQuery> S>
void fields(A& a, S& t) {
  a(t.symbol, t.levels);
}

}  // namespace heptane::fintech::exchange
