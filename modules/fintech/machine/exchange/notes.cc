#include "modules/fintech/machine/exchange/notes.h"

#include <cstring>
#include <type_traits>

#include "kernel/base/assert.h"
#include "modules/fintech/domain/ledger/amount.h"
#include "modules/fintech/machine/exchange/fix_sessions.h"
#include "modules/fintech/machine/exchange/parties.h"

namespace heptane::fintech::exchange {

namespace {

constexpr uint32_t kAverageDecimals = 4;
constexpr Uint128 kAverageFactor = 10'000;

constexpr uint8_t kCompact = 0x80;

bool plain(char c) { return c >= ' ' && c <= '~'; }

// A compact record, put together where it is.
class CompactWriter {
 public:
  template <class... T>
  void operator()(const T&... values) {
    (put(values), ...);
  }
  std::string_view view() const { return {bytes_.data(), size_}; }
  static bool goes_on(bool more) { return more; }
  void long_text(std::string_view text) {
    HEPTANE_ASSERT(text.size() <= kFixPartiesBytesMax && has_room(text.size()), "parties of what was not judged");
    byte(static_cast<uint8_t>(text.size()));
    byte(static_cast<uint8_t>(text.size() >> 8));
    text.copy(&bytes_[size_], text.size());
    size_ += text.size();
  }

 private:
  // Seven names of at most 64 bytes and a text, 24 numbers of at most 17, parties.
  static constexpr size_t kBytesMax = 2'560;
  static constexpr size_t kNumbersMax = 24 * 17;

  bool has_room(size_t bytes) const { return size_ + bytes + kNumbersMax <= kBytesMax; }

  void put(std::string_view text) {
    HEPTANE_ASSERT(text.size() <= UINT8_MAX && has_room(text.size()), "a name of what was not judged");
    byte(static_cast<uint8_t>(text.size()));
    text.copy(&bytes_[size_], text.size());
    size_ += text.size();
  }
  template <class T>
  void put(const T& value) {
    if constexpr (std::is_enum_v<T> || sizeof(T) == 1) {
      byte(static_cast<uint8_t>(value));
    } else if constexpr (std::is_same_v<T, Uint128>) {
      wide(value);
    } else if constexpr (std::is_same_v<T, Int128>) {
      wide(static_cast<Uint128>(value) << 1 ^ static_cast<Uint128>(value >> 127));
    } else if constexpr (std::is_signed_v<T>) {
      varint(zigzag_encoded(value));
    } else {
      varint(value);
    }
  }
  void byte(uint8_t value) { bytes_[size_++] = static_cast<char>(value); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) byte(static_cast<uint8_t>(value | 0x80));
    byte(static_cast<uint8_t>(value));
  }
  void wide(Uint128 value) {
    uint8_t count = 0;
    for (Uint128 rest = value; rest != 0; rest >>= 8) ++count;
    byte(count);
    for (; value != 0; value >>= 8) byte(static_cast<uint8_t>(value));
  }

  std::array<char, kBytesMax> bytes_;  // the first size_ of them
  size_t size_ = 0;
};

// Texts are those of the bytes.
class CompactReader {
 public:
  explicit CompactReader(Bytes bytes) : in_(bytes) {}
  template <class... T>
  void operator()(T&... values) {
    (take(values), ...);
  }
  bool complete() const { return in_.complete(); }
  bool goes_on(bool& more) const { return more = !in_.failed() && in_.remaining() > 0; }
  void long_text(std::string_view& text) { text = as_text(in_.take(in_.le<uint16_t>())); }

 private:
  void take(std::string_view& text) { text = as_text(in_.take(in_.u8())); }
  template <class T>
  void take(T& value) {
    if constexpr (std::is_enum_v<T>) {
      const uint8_t number = in_.u8();
      if (number > kLast<T>) in_.fail();
      value = in_.failed() ? T{} : static_cast<T>(number);
    } else if constexpr (sizeof(T) == 1) {
      value = static_cast<T>(in_.u8());
    } else if constexpr (std::is_same_v<T, Uint128>) {
      value = wide();
    } else if constexpr (std::is_same_v<T, Int128>) {
      const Uint128 folded = wide();
      value = static_cast<Int128>(folded >> 1 ^ -(folded & 1));
    } else if constexpr (std::is_signed_v<T>) {
      value = in_.zigzag();
    } else {
      value = static_cast<T>(in_.varint());
    }
  }
  Uint128 wide() {
    const Bytes bytes = in_.take(in_.u8());
    if (bytes.size() > sizeof(Uint128)) in_.fail();
    Uint128 value = 0;
    for (size_t i = in_.failed() ? 0 : bytes.size(); i-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[i]);
    return value;
  }

  ByteReader in_;
};

std::string_view event_name(OrderEvent event) {
  static constexpr std::string_view kNames[] = {"new", "replaced", "triggered", "trade", "ended", "in_review"};
  return kNames[static_cast<size_t>(event)];
}

std::string_view fill_name(FillAs as) {
  static constexpr std::string_view kNames[] = {"maker", "taker", "call"};
  return kNames[static_cast<size_t>(as)];
}

void put_trade(const OrderTold& told, JsonRecord& record) {
  record.number("trade_id", told.trade_id).price("last_price", told.last_price, told.price_scale);
  record.amount("last_quantity", told.last_quantity, told.quantity_scale).token("liquidity", fill_name(told.as));
  record.amount("fee", told.fee, told.quote_scale);
  if (told.rebate != 0) record.amount("rebate", told.rebate, told.quote_scale);
}

void render(const OrderTold& told, LogTime, RecordWriter& out) {
  JsonRecord record(event_name(told.event));
  record.number("exec_id", told.exec_id).number("order_id", told.order_id).token("cl_ord_id", told.client_id);
  record.token("firm", told.firm).token("account", told.account).token("symbol", told.symbol);
  record.token("side", side_name(told.side)).token("type", type_name(told.type));
  record.token("time_in_force", tif_name(told.tif)).token("status", status_name(told.status));
  record.price("price", told.price, told.price_scale);
  if (told.stop_price != 0) record.price("stop_price", told.stop_price, told.price_scale);
  record.amount("quantity", told.quantity, told.quantity_scale).amount("filled", told.filled, told.quantity_scale);
  record.amount("leaves", told.leaves, told.quantity_scale);
  record.token("average_price", average_text(told.traded, told.filled, told.price_scale));
  if (told.event == OrderEvent::trade) put_trade(told, record);
  if (told.event == OrderEvent::ended) {
    record.token("reason", reason_name(told.reason));
    record.amount("cancelled_quantity", told.cancelled, told.quantity_scale);
  }
  put_origin(told.origin, record);
  const std::string key = std::to_string(told.order_id);
  out.add({as_bytes(key), true, as_bytes(record.end())});
}

void render(const TradeTold& told, LogTime, RecordWriter& out) {
  JsonRecord record("trade");
  record.number("trade_id", told.trade_id).token("symbol", told.symbol);
  record.price("price", told.price, told.price_scale).amount("quantity", told.quantity, told.quantity_scale);
  record.amount("notional", told.notional, told.quote_scale);
  record.token("aggressor", told.in_call ? "call" : side_name(told.aggressor));
  record.number("buy_order_id", told.buy_order).number("sell_order_id", told.sell_order);
  out.add({as_bytes(told.symbol), true, as_bytes(record.end())});
}

// With the log time that rules go by, to the nanosecond.
void render(const RiskTold& told, LogTime time, RecordWriter& out) {
  using risk_rules::verdict_name;
  JsonRecord record("verdict");
  record.token("verdict", verdict_name(told.verdict)).number("version", told.version);
  if (told.verdict != risk_rules::Verdict::allow) record.token("rule", told.rule).text("why", told.why);
  if (told.order_id != 0) record.number("order_id", told.order_id);
  record.token("action", told.replaces ? "replace" : "new").token("cl_ord_id", told.client_id);
  record.token("firm", told.firm).token("account", told.account).token("symbol", told.symbol);
  record.text("session", told.session).token("side", side_name(told.side)).token("type", type_name(told.type));
  record.price("price", told.price, told.price_scale);
  record.amount("quantity", told.quantity, told.quantity_scale);
  record.amount("more_quantity", told.more_quantity, told.quantity_scale);
  const bool negative = told.notional < 0;
  const Uint128 size = negative ? -static_cast<Uint128>(told.notional) : static_cast<Uint128>(told.notional);
  record.token("notional", (negative ? "-" : "") + amount_text(size, told.quote_scale));
  record.amount("more_notional", told.more_notional, told.quote_scale);
  record.number("time_ns", static_cast<uint64_t>(time));
  const std::string key = std::string(told.firm) + "/" + std::string(told.account);
  out.add({as_bytes(key), true, as_bytes(record.end())});
}

// False: it is no such record.
template <class Told>
bool render_compact(Bytes bytes, LogTime time, RecordWriter& out) {
  Told told;
  CompactReader reader(bytes);
  fields(reader, told);
  if (!reader.complete() || told.price_scale > kDecimalsMax || told.quantity_scale > kDecimalsMax ||
      told.quote_scale > kDecimalsMax)
    return false;
  render(told, time, out);
  return true;
}

}  // namespace

JsonRecord& JsonRecord::text(std::string_view name, std::string_view value) {
  char* to = begin(name, 2 * value.size());
  for (const char c : value) {
    if (c == '"' || c == '\\') *to++ = '\\';
    *to++ = plain(c) ? c : '?';
  }
  finish(to);
  return *this;
}

JsonRecord& JsonRecord::json(std::string_view name, std::string_view value) {
  char* const to = begin(name, value.size()) - 1;  // no quotation marks
  std::memcpy(to, value.data(), value.size());
  size_ = static_cast<size_t>(to - text_.data()) + value.size();
  return *this;
}

JsonRecord& JsonRecord::price(std::string_view name, int64_t value, uint8_t scale) {
  char* to = begin(name, kAmountBytesMax + 1);
  if (value < 0) *to++ = '-';
  finish(write_amount(to, value < 0 ? -static_cast<Uint128>(value) : static_cast<Uint128>(value), scale));
  return *this;
}

JsonRecord& JsonRecord::amount(std::string_view name, Uint128 value, uint8_t scale) {
  finish(write_amount(begin(name, kAmountBytesMax), value, scale));
  return *this;
}

void put_origin(const OrderOrigin& origin, JsonRecord& record) {
  if (!origin.told) return;
  if (origin.received != 0) record.number("received_ns", static_cast<uint64_t>(origin.received));
  if (origin.by != 0) record.number("by", origin.by);
  record.number("entered_by", origin.entered_by);
  if (!origin.session.empty()) record.token("session", origin.session);
  if (!origin.parties.empty()) record.json("parties", parties_json(origin.parties));
}

std::string_view JsonRecord::end() {
  text_[size_++] = '}';
  return {text_.data(), size_};
}

void Notes::clear() {
  counts_ = {};
  out_.clear();
}

void Notes::add(ViewId view, std::string_view key, std::string_view value) {
  HEPTANE_ASSERT(key.size() <= UINT8_MAX && value.size() <= UINT16_MAX, "a record of what was not judged");
  ++counts_[view.number - 1U];
  const char head[] = {static_cast<char>(view.number), static_cast<char>(key.size())};
  char length[sizeof(uint16_t)];
  store_le(reinterpret_cast<std::byte*>(length), static_cast<uint16_t>(value.size()));
  out_.append(head, sizeof head).append(key).append(length, sizeof length).append(value);
}

template <class Told>
void Notes::add_compact(ViewId view, const Told& told) {
  ++counts_[view.number - 1U];
  CompactWriter writer;
  fields(writer, told);
  const size_t size = writer.view().size();
  const char head[] = {static_cast<char>(view.number | kCompact), static_cast<char>(size & 0xFF),
                       static_cast<char>(size >> 8)};
  out_.append(head, sizeof head).append(writer.view());
}
template void Notes::add_compact(ViewId, const OrderTold&);
template void Notes::add_compact(ViewId, const TradeTold&);
template void Notes::add_compact(ViewId, const RiskTold&);

std::string average_text(Int128 traded, uint64_t filled, uint8_t price_scale) {
  if (filled == 0) return "0";
  const bool negative = traded < 0;
  const Uint128 sum = negative ? -static_cast<Uint128>(traded) : static_cast<Uint128>(traded);
  const Uint128 average = sum / filled * kAverageFactor + sum % filled * kAverageFactor / filled;
  return (negative ? "-" : "") + amount_text(average, static_cast<uint8_t>(price_scale + kAverageDecimals));
}

// What cannot be read is counted all the same: offsets are the log's.
void render_exchange(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  if (number > kFixViews) return render_fix(logged, number, out);
  const LogTime time = logged.command.time;
  for (const Bytes& note : logged.results) {
    ByteReader in(note);
    while (in.remaining() > 0 && !in.failed() && !out.full()) {
      const uint8_t view = in.u8();
      const bool compact = (view & kCompact) != 0;
      const Bytes key = compact ? Bytes{} : in.take(in.u8());
      const Bytes value = in.take(in.le<uint16_t>());
      if ((view & ~kCompact) != number || in.failed()) continue;
      if (!out.wants()) {
        out.skip();
      } else if (!compact) {
        out.add({key, true, value});
      } else {
        const bool read = number == kTradesView.number ? render_compact<TradeTold>(value, time, out)
                          : number == kRiskView.number ? render_compact<RiskTold>(value, time, out)
                                                       : render_compact<OrderTold>(value, time, out);
        if (!read) out.skip();
      }
    }
  }
}

}  // namespace heptane::fintech::exchange
