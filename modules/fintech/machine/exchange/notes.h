// What a command of the exchange tells in its views, noted beside the command in its entry and read from there by whoever reads
// the stream. The texts of records never change: what a note of today means, later programs must still know. Nothing else is
// needed to put one into words: names and scales stand in it as they were.
//
// Note: until its end view u8 and one record. Of an order's event and a trade (view + kCompact): u16 and bytes, the fields of
// OrderTold or TradeTold in their order (the origin of an order's event may lack): enumerators u8, texts u8 and bytes, parties u16 and bytes, numbers as varints (with a sign: zigzag), those of 128
// bits their count of bytes u8 and those. Of all others: key (u8 and bytes), value (u16 and bytes: one JSON object). In JSON,
// numbers of more than 53 bits, prices and quantities are texts. The shard thread's; render_exchange any thread's.
#pragma once

#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "kernel/base/assert.h"
#include "kernel/base/bytes.h"
#include "modules/fintech/machine/exchange/exchange_api.h"
#include "modules/fintech/machine/exchange/risk_api.h"

namespace heptane::fintech::exchange {

// One JSON object, of at most 4,096 bytes. What is no printable ASCII becomes `?`. Names are literals.
class JsonRecord {
 public:
  explicit JsonRecord(std::string_view event) { token("event", event); }
  JsonRecord& text(std::string_view name, std::string_view value);
  // Of a value that is printable ASCII without " and backslash: names, numbers, ClOrdIDs.
  JsonRecord& token(std::string_view name, std::string_view value) {
    char* const to = begin(name, value.size());
    std::memcpy(to, value.data(), value.size());
    finish(to + value.size());
    return *this;
  }
  JsonRecord& number(std::string_view name, uint64_t value) { return amount(name, value, 0); }
  // Whole units of 10^-scale.
  JsonRecord& price(std::string_view name, int64_t value, uint8_t scale);
  JsonRecord& amount(std::string_view name, Uint128 value, uint8_t scale);
  // Of JSON, as it is.
  JsonRecord& json(std::string_view name, std::string_view value);
  // What stands there as it is.
  std::string_view end();

 private:
  static constexpr size_t kBytesMax = 4'096;

  // Where the value goes.
  char* begin(std::string_view name, size_t value_bytes) {
    constexpr size_t kAround = 8;  // the brace at the end too
    constexpr std::string_view kBehind = "\":\"";
    HEPTANE_ASSERT(size_ + name.size() + value_bytes + kAround <= kBytesMax, "a record of what was not judged");
    char* to = text_.data() + size_;
    *to++ = size_ == 0 ? '{' : ',';
    *to++ = '"';
    std::memcpy(to, name.data(), name.size());
    to += name.size();
    std::memcpy(to, kBehind.data(), kBehind.size());
    return to + kBehind.size();
  }
  void finish(char* behind) {
    *behind++ = '"';
    size_ = static_cast<size_t>(behind - text_.data());
  }

  std::array<char, kBytesMax> text_;  // the first size_ of them
  size_t size_ = 0;
};

enum class OrderEvent : uint8_t { entered, replaced, triggered, trade, ended, held };
template <>
inline constexpr uint8_t kLast<OrderEvent> = 5;
enum class FillAs : uint8_t { maker, taker, call };
template <>
inline constexpr uint8_t kLast<FillAs> = 2;
template <>
inline constexpr uint8_t kLast<book::Reason> = 9;

// Where an order's event comes from. From version kLogicParties of the logic on.
struct OrderOrigin {
  bool told = false;
  LogTime received = 0;  // when the gateway read what made the event; 0: it came otherwise than over FIX, or of itself
  uint32_t by = 0;       // the principal who made it; 0: the exchange itself
  uint32_t entered_by = 0;   // who entered the order
  std::string_view session;  // the FIX session that the order came over; empty: none, or its last report was made
  std::string_view parties;  // NoPartyIDs(453) and its group, as they came
};

// A record of fintech.orders.
struct OrderTold {
  OrderEvent event = OrderEvent::entered;
  uint64_t exec_id = 0;
  uint64_t order_id = 0;
  std::string_view client_id;
  std::string_view firm;
  std::string_view account;
  std::string_view symbol;
  book::Side side = book::Side::buy;
  book::OrderType type = book::OrderType::limit;
  book::TimeInForce tif = book::TimeInForce::day;
  OrderStatus status = OrderStatus::open;
  int64_t price = 0;
  int64_t stop_price = 0;  // 0: none
  uint64_t quantity = 0;
  uint64_t filled = 0;
  uint64_t leaves = 0;
  Int128 traded = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
  // Of a trade.
  uint64_t trade_id = 0;
  int64_t last_price = 0;
  uint64_t last_quantity = 0;
  FillAs as = FillAs::maker;
  Uint128 fee = 0;
  Uint128 rebate = 0;
  // Of an end.
  book::Reason reason = book::Reason::none;
  uint64_t cancelled = 0;
  OrderOrigin origin;
};
template <class A, Same<OrderTold> S>
void fields(A& a, S& t) {
  a(t.event, t.exec_id, t.order_id, t.client_id, t.firm, t.account, t.symbol, t.side, t.type, t.tif, t.status);
  a(t.price, t.stop_price, t.quantity, t.filled, t.leaves, t.traded, t.price_scale, t.quantity_scale, t.quote_scale);
  if (t.event == OrderEvent::trade) a(t.trade_id, t.last_price, t.last_quantity, t.as, t.fee, t.rebate);
  if (t.event == OrderEvent::ended) a(t.reason, t.cancelled);
  if (!a.goes_on(t.origin.told)) return;
  a(t.origin.received, t.origin.by, t.origin.entered_by, t.origin.session);
  a.long_text(t.origin.parties);
}

// A record of fintech.trades.
struct TradeTold {
  uint64_t trade_id = 0;
  std::string_view symbol;
  int64_t price = 0;
  uint64_t quantity = 0;
  Uint128 notional = 0;
  book::Side aggressor = book::Side::buy;
  bool in_call = false;
  uint64_t buy_order = 0;
  uint64_t sell_order = 0;
  uint8_t price_scale = 0;
  uint8_t quantity_scale = 0;
  uint8_t quote_scale = 0;
};
template <class A, Same<TradeTold> S>
void fields(A& a, S& t) {
  a(t.trade_id, t.symbol, t.price, t.quantity, t.notional, t.aggressor, t.in_call, t.buy_order, t.sell_order);
  a(t.price_scale, t.quantity_scale, t.quote_scale);
}

class Notes {
 public:
  void clear();
  void add(ViewId view, std::string_view key, std::string_view value);
  void add(const OrderTold& told) { add_compact(kOrdersView, told); }
  void add(const TradeTold& told) { add_compact(kTradesView, told); }
  void add(const RiskTold& told) { add_compact(kRiskView, told); }
  uint32_t count(size_t view) const { return counts_[view]; }  // from 0, as kStreams
  bool empty() const { return out_.empty(); }
  Bytes view() const { return as_bytes(out_); }

 private:
  template <class Told>
  void add_compact(ViewId view, const Told& told);

  std::array<uint32_t, kViews> counts_{};
  std::string out_;
};

// The average price of what an order has traded, with four more decimals than the instrument's, rounded down; 0: nothing.
std::string average_text(Int128 traded, uint64_t filled, uint8_t price_scale);
inline std::string average_text(const Order& order, uint8_t price_scale) {
  return average_text(order.traded, order.filled, price_scale);
}

// As members of a record: what is known of it.
void put_origin(const OrderOrigin& origin, JsonRecord& record);

// The machine's renderer.
void render_exchange(const LoggedCommand& logged, uint16_t number, RecordWriter& out);

}  // namespace heptane::fintech::exchange
