#include "modules/iot/machine/rules/rule_api.h"

#include <algorithm>
#include <limits>

#include "kernel/crypto/sha256.h"
#include "kernel/streams/api.h"
#include "modules/iot/domain/mqtt/properties.h"
#include "modules/iot/domain/rules/hops.h"
#include "modules/iot/machine/message_headers.h"
#include "modules/iot/machine/rules/outbox_api.h"
#include "modules/iot/machine/series/series_api.h"
#include "modules/iot/machine/texts.h"

namespace heptane::iot::rules {

namespace {

constexpr uint8_t kHasTransfer = 1;
constexpr uint8_t kHasAppend = 2;
constexpr uint8_t kHasPublish = 4;
constexpr uint8_t kEarliest = 8;   // of a definition
constexpr uint8_t kHasHops = 8;    // of an input: of what it publishes
constexpr uint8_t kIsJson = 16;    // of an input
constexpr uint8_t kSaysMore = 16;  // of a definition: there is a byte of what follows
constexpr uint8_t kIsWindowed = 1;
constexpr uint8_t kHasLua = 2;
constexpr uint8_t kHasOrder = 4;
constexpr uint8_t kHasShadow = 32;
constexpr uint8_t kHasHttp = 64;
constexpr uint8_t kHasSeries = 128;
constexpr uint8_t kOfDefinition =
    kHasTransfer | kHasAppend | kHasPublish | kEarliest | kSaysMore | kHasShadow | kHasHttp | kHasSeries;
constexpr uint8_t kPaused = 1;
constexpr uint8_t kCountsMore = 2;  // counters of actions that came later
constexpr uint8_t kHasOutbox = 4;
constexpr uint8_t kCountsWindows = 8;
constexpr uint8_t kCountsOrders = 16;
constexpr uint8_t kMaySkip = 1;  // of a cursor
constexpr uint8_t kHasWindow = 2;
constexpr uint16_t kTellsShadows = 0x8000;
constexpr uint16_t kHasWindowStep = 0x8000;  // of a commit
constexpr uint16_t kEntersOrder = 0x8000;    // of an input, beside the length of its fault
constexpr uint8_t kSells = 1;                // of an order
constexpr uint8_t kHasPrice = 2;
constexpr uint8_t kPlacesMax = 18;        // of its numbers
constexpr size_t kFirmBytesMax = 32;      // and of accounts
constexpr size_t kOrderRuleNameMax = 19;  // so that its ClOrdIDs fit
constexpr size_t kInputBytesLeast = 8;
constexpr uint8_t kToldWhole = 0;  // of what a result says
constexpr uint8_t kToldInput = 1;
constexpr uint8_t kUserProperty = 0x26;  // MQTT 5.0 §2.2.2.2

std::string_view get_long(ByteReader& in) { return as_text(in.take(in.le<uint32_t>())); }

fintech::Uint128 get_wide(ByteReader& in) {
  const auto low = in.le<uint64_t>();
  return fintech::Uint128{in.le<uint64_t>()} << 64 | low;
}

std::string wrong_expression(std::string_view what, std::string_view text, bool needed) {
  if (needed && text.empty()) return std::string(what) + " is an expression";
  if (text.size() > kExpressionBytesMax) return std::string(what) + " has at most 1,024 bytes";
  return {};
}

std::string wrong_transfer(const TransferAction& transfer) {
  if (transfer.ledger == 0) return "transfer.ledger is a number from 1";
  if (transfer.code == 0) return "transfer.code is a number from 1 to 65535";
  for (const auto& [what, text] : {std::pair{"transfer.debit", &transfer.debit},
                                   {"transfer.credit", &transfer.credit},
                                   {"transfer.amount", &transfer.amount}})
    if (std::string wrong = wrong_expression(what, *text, true); !wrong.empty()) return wrong;
  return wrong_expression("transfer.id", transfer.id, false);
}

std::string wrong_series(const SeriesAction& series) {
  if (!iot::series::valid_database(series.database)) return "series.database is 1 to 64 of a-z A-Z 0-9 _ - . :";
  std::string wrong = wrong_expression("series.measurement", series.measurement, true);
  if (wrong.empty()) wrong = wrong_expression("series.tags", series.tags, false);
  return wrong.empty() ? wrong_expression("series.time", series.time, false) : wrong;
}

std::string wrong_shadow(const ShadowAction& shadow) {
  std::string wrong = wrong_expression("shadow.thing", shadow.thing, true);
  if (wrong.empty()) wrong = wrong_expression("shadow.name", shadow.name, false);
  return wrong.empty() ? wrong_expression("shadow.version", shadow.version, false) : wrong;
}

constexpr std::pair<std::string_view, book::TimeInForce> kTimesInForce[] = {{"day", book::TimeInForce::day},
                                                                            {"gtc", book::TimeInForce::gtc},
                                                                            {"ioc", book::TimeInForce::ioc},
                                                                            {"fok", book::TimeInForce::fok}};

std::string wrong_order(const RuleDefinition& rule) {
  const OrderAction& order = *rule.order;
  if (rule.transfer || rule.shadow || rule.series)
    return "a rule that enters orders makes no transfers, shadows and points: what was entered cannot be taken back "
           "where those are refused";
  if (order.firm.empty() || order.firm.size() > kFirmBytesMax) return "order.firm is a firm's name";
  if (order.account.empty() || order.account.size() > kFirmBytesMax) return "order.account is an account's name";
  for (const auto& [what, text, needed] : {std::tuple{"order.symbol", &order.symbol, true},
                                           {"order.side", &order.side, true},
                                           {"order.quantity", &order.quantity, true},
                                           {"order.price", &order.price, false},
                                           {"order.id", &order.id, false}})
    if (std::string wrong = wrong_expression(what, *text, needed); !wrong.empty()) return wrong;
  if (order.id.empty() && rule.name.size() > kOrderRuleNameMax)
    return "a rule that enters orders without order.id has a name of at most 19 characters: it is in their ClOrdIDs";
  const auto* const known = std::find_if(std::begin(kTimesInForce), std::end(kTimesInForce),
                                         [&](const auto& one) { return one.first == order.time_in_force; });
  if (order.time_in_force.empty()) return {};
  if (known == std::end(kTimesInForce)) return "order.time_in_force is one of day, gtc, ioc, fok";
  const bool rests = known->second == book::TimeInForce::day || known->second == book::TimeInForce::gtc;
  return rests && order.price.empty() ? "order.time_in_force of a market order is ioc or fok" : "";
}

// Half of a digest, below every range of ids that is reserved.
fintech::Uint128 id_of(ByteWriter& named) {
  crypto::Sha256 hash;
  hash.add(named.view());
  const crypto::Sha256Digest digest = hash.finish();
  const auto low = load_le<uint64_t>(digest.data());
  const auto high = load_le<uint64_t>(digest.data() + sizeof low) >> 1;
  const fintech::Uint128 id = fintech::Uint128{high} << 64 | low;
  return id == 0 ? 1 : id;
}

}  // namespace

bool valid_rule_name(std::string_view name) {
  return !name.empty() && name.size() <= kRuleNameBytesMax && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
}

std::string wrong_definition(const RuleDefinition& rule) {
  if (!valid_rule_name(rule.name)) return "a rule's name is 1 to 64 of a-z A-Z 0-9 _ -";
  if (!streams::valid_name(rule.source)) return "a rule reads a stream";
  if (rule.source == kRulesStream || rule.source == "iot.events")
    return "what rules tell, and what becomes of it, is no rule's input";
  if (!rule.transfer && !rule.append && !rule.publish && !rule.shadow && !rule.http && !rule.series && !rule.order)
    return "a rule does something: transfer, order, append, publish, shadow, http or series";
  std::string wrong = rule.transfer ? wrong_transfer(*rule.transfer) : std::string();
  if (wrong.empty() && rule.append) {
    if (!streams::valid_name(rule.append->stream)) return "append.stream is a stream's name";
    wrong = wrong_expression("append.key", rule.append->key, false);
  }
  if (wrong.empty() && rule.order) wrong = wrong_order(rule);
  if (wrong.empty() && rule.series) wrong = wrong_series(*rule.series);
  if (wrong.empty() && rule.shadow) wrong = wrong_shadow(*rule.shadow);
  if (wrong.empty() && rule.http) wrong = wrong_expression("http.url", rule.http->url, true);
  if (wrong.empty() && rule.publish) wrong = wrong_expression("publish.topic", rule.publish->topic, true);
  if (wrong.empty() && rule.lua.size() > kLuaBytesMax) wrong = "lua has at most 8,192 bytes";
  if (wrong.empty() && rule.windowed() && !rule.lua.empty()) wrong = "a rule over windows has no lua";
  if (!wrong.empty()) return wrong;
  ByteWriter out;
  append_definition(out, rule);
  return out.size() > kDefinitionBytesMax ? "a rule has at most 16 KiB" : "";
}

void append_definition(ByteWriter& out, const RuleDefinition& rule) {
  put_text(out, rule.name);
  put_text(out, rule.sql);
  put_text(out, rule.source);
  const bool says_more = rule.windowed() || !rule.lua.empty() || rule.order;
  out.u8(static_cast<uint8_t>((rule.transfer ? kHasTransfer : 0) | (rule.append ? kHasAppend : 0) |
                              (rule.publish ? kHasPublish : 0) | (rule.earliest ? kEarliest : 0) |
                              (says_more ? kSaysMore : 0) | (rule.shadow ? kHasShadow : 0) |
                              (rule.http ? kHasHttp : 0) | (rule.series ? kHasSeries : 0)));
  if (says_more)
    out.u8(static_cast<uint8_t>((rule.windowed() ? kIsWindowed : 0) | (rule.lua.empty() ? 0 : kHasLua) |
                                (rule.order ? kHasOrder : 0)));
  if (rule.windowed()) out.le<uint64_t>(rule.windows);
  if (!rule.lua.empty()) put_text(out, rule.lua);
  if (rule.order) {
    const OrderAction& order = *rule.order;
    for (const std::string* text : {&order.firm, &order.account, &order.symbol, &order.side, &order.quantity,
                                    &order.price, &order.time_in_force, &order.id})
      put_text(out, *text);
    out.le<uint32_t>(order.within_s);
  }
  if (rule.transfer) {
    out.le<uint32_t>(rule.transfer->ledger);
    out.le<uint16_t>(rule.transfer->code);
    for (const std::string* text :
         {&rule.transfer->debit, &rule.transfer->credit, &rule.transfer->amount, &rule.transfer->id})
      put_text(out, *text);
  }
  if (rule.append) {
    put_text(out, rule.append->stream);
    put_text(out, rule.append->key);
  }
  if (rule.publish) put_text(out, rule.publish->topic);
  if (rule.shadow) {
    for (const std::string* text : {&rule.shadow->thing, &rule.shadow->name, &rule.shadow->version})
      put_text(out, *text);
    out.u8(rule.shadow->reported ? 1 : 0);
  }
  if (rule.http) put_text(out, rule.http->url);
  if (!rule.series) return;
  for (const std::string* text :
       {&rule.series->database, &rule.series->measurement, &rule.series->tags, &rule.series->time})
    put_text(out, *text);
}

RuleDefinition read_definition(ByteReader& in) {
  RuleDefinition rule;
  for (std::string* text : {&rule.name, &rule.sql, &rule.source}) *text = get_text(in);
  const uint8_t flags = in.u8();
  if ((flags & ~kOfDefinition) != 0) in.fail();
  rule.earliest = (flags & kEarliest) != 0;
  const uint8_t more = (flags & kSaysMore) != 0 ? in.u8() : 0;
  if ((more & kIsWindowed) != 0) {
    rule.windows = in.le<uint64_t>();
    if (rule.windows == 0) in.fail();
  }
  if ((more & kHasLua) != 0) rule.lua = get_text(in);
  if ((more & kHasOrder) != 0) {
    OrderAction& order = rule.order.emplace();
    for (std::string* text : {&order.firm, &order.account, &order.symbol, &order.side, &order.quantity, &order.price,
                              &order.time_in_force, &order.id})
      *text = get_text(in);
    order.within_s = in.le<uint32_t>();
  }
  if ((flags & kHasTransfer) != 0) {
    TransferAction& transfer = rule.transfer.emplace();
    transfer.ledger = in.le<uint32_t>();
    transfer.code = in.le<uint16_t>();
    for (std::string* text : {&transfer.debit, &transfer.credit, &transfer.amount, &transfer.id}) *text = get_text(in);
  }
  if ((flags & kHasAppend) != 0) {
    rule.append.emplace().stream = get_text(in);
    rule.append->key = get_text(in);
  }
  if ((flags & kHasPublish) != 0) rule.publish.emplace().topic = get_text(in);
  if ((flags & kHasShadow) != 0) {
    ShadowAction& shadow = rule.shadow.emplace();
    for (std::string* text : {&shadow.thing, &shadow.name, &shadow.version}) *text = get_text(in);
    shadow.reported = in.u8() != 0;
  }
  if ((flags & kHasHttp) != 0) rule.http.emplace().url = get_text(in);
  if ((flags & kHasSeries) != 0) {
    SeriesAction& series = rule.series.emplace();
    for (std::string* text : {&series.database, &series.measurement, &series.tags, &series.time}) *text = get_text(in);
  }
  return rule;
}

Buffer encode_put(const RuleDefinition& rule, bool may_change) {
  ByteWriter out;
  append_definition(out, rule);
  if (!may_change) out.u8(1);
  return Buffer::take(out.release());
}

Buffer encode_pause(std::string_view name, uint64_t version, std::string_view reason) {
  ByteWriter out;
  put_text(out, name);
  out.le<uint64_t>(version);
  put_text(out, reason.substr(0, kReasonBytesMax));
  return Buffer::take(out.release());
}

namespace {

void put_place(ByteWriter& out, const WindowPlace& place) {
  out.le<Offset>(place.restart_at);
  out.le<int64_t>(place.watermark_ms);
  out.le<int64_t>(place.closed_ms);
  out.le<uint32_t>(place.rows_done);
}

WindowPlace get_place(ByteReader& in) {
  WindowPlace place;
  place.restart_at = in.le<Offset>();
  place.watermark_ms = in.le<int64_t>();
  place.closed_ms = in.le<int64_t>();
  place.rows_done = in.le<uint32_t>();
  return place;
}

void put_step(ByteWriter& out, const WindowStep& step) {
  out.le<int64_t>(step.from_closed_ms);
  out.le<uint32_t>(step.from_rows_done);
  put_place(out, step.place);
  out.le<uint32_t>(step.rows);
  out.le<uint32_t>(step.late);
  out.le<int64_t>(step.clock_ms);
}

WindowStep get_step(ByteReader& in) {
  WindowStep step;
  step.from_closed_ms = in.le<int64_t>();
  step.from_rows_done = in.le<uint32_t>();
  step.place = get_place(in);
  step.rows = in.le<uint32_t>();
  step.late = in.le<uint32_t>();
  step.clock_ms = in.le<int64_t>();
  return step;
}

}  // namespace

void append_row(ByteWriter& out, const RuleRow& row) {
  append_definition(out, row.definition);
  out.le<uint64_t>(row.version);
  const bool counts_more = row.counters.shadows > 0 || row.counters.posts > 0;
  const bool counts_windows = row.counters.windows > 0 || row.counters.late > 0;
  out.u8(static_cast<uint8_t>((row.paused ? kPaused : 0) | (counts_more ? kCountsMore : 0) |
                              (row.outbox ? kHasOutbox : 0) | (counts_windows ? kCountsWindows : 0) |
                              (row.counters.orders > 0 ? kCountsOrders : 0)));
  put_text(out, row.reason);
  out.le<LogTime>(row.created);
  out.le<LogTime>(row.updated);
  const RuleCounters& counters = row.counters;
  for (const uint64_t number : {counters.inputs, counters.transfers, counters.repeats, counters.appended,
                                counters.published, counters.dead_letters, counters.lost})
    out.le<uint64_t>(number);
  if (counts_more)
    for (const uint64_t number : {counters.shadows, counters.posts, counters.posted}) out.le<uint64_t>(number);
  if (counts_windows)
    for (const uint64_t number : {counters.windows, counters.late}) out.le<uint64_t>(number);
  if (counters.orders > 0) out.le<uint64_t>(counters.orders);
  if (row.outbox) out.le<Offset>(*row.outbox);
  out.le<uint16_t>(static_cast<uint16_t>(row.cursors.size()));
  for (const auto& [index, cursor] : row.cursors) {
    out.le<uint32_t>(index);
    out.le<PartitionId>(cursor.partition);
    out.le<Offset>(cursor.next);
    out.u8(static_cast<uint8_t>((cursor.may_skip ? kMaySkip : 0) | (cursor.window ? kHasWindow : 0)));
    if (cursor.window) put_place(out, *cursor.window);
  }
}

RuleRow read_row(ByteReader& in) {
  RuleRow row;
  row.definition = read_definition(in);
  row.version = in.le<uint64_t>();
  const uint8_t flags = in.u8();
  row.paused = (flags & kPaused) != 0;
  row.reason = get_text(in);
  row.created = in.le<LogTime>();
  row.updated = in.le<LogTime>();
  RuleCounters& counters = row.counters;
  for (uint64_t* number : {&counters.inputs, &counters.transfers, &counters.repeats, &counters.appended,
                           &counters.published, &counters.dead_letters, &counters.lost})
    *number = in.le<uint64_t>();
  if ((flags & kCountsMore) != 0)
    for (uint64_t* number : {&counters.shadows, &counters.posts, &counters.posted}) *number = in.le<uint64_t>();
  if ((flags & kCountsWindows) != 0)
    for (uint64_t* number : {&counters.windows, &counters.late}) *number = in.le<uint64_t>();
  if ((flags & kCountsOrders) != 0) counters.orders = in.le<uint64_t>();
  if ((flags & kHasOutbox) != 0) row.outbox = in.le<Offset>();
  const auto count = in.le<uint16_t>();
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    RuleCursor& cursor = row.cursors[in.le<uint32_t>()];
    cursor.partition = in.le<PartitionId>();
    cursor.next = in.le<Offset>();
    const uint8_t said = in.u8();
    cursor.may_skip = (said & kMaySkip) != 0;
    if ((said & kHasWindow) != 0) cursor.window = get_place(in);
  }
  return row;
}

Buffer encode_rules_query(std::string_view after, bool alone) {
  ByteWriter out;
  put_text(out, after);
  out.u8(alone ? 1 : 0);
  return Buffer::take(out.release());
}

std::optional<std::vector<RuleRow>> decode_rows(Bytes payload) {
  ByteReader in(payload);
  std::vector<RuleRow> rows;
  while (in.remaining() > 0 && !in.failed()) rows.push_back(read_row(in));
  return in.failed() ? std::nullopt : std::optional(std::move(rows));
}

namespace {

// Fills room that is there; what is only measured has none.
class Filler {
 public:
  explicit Filler(std::byte* at) : at_(at) {}

  size_t size() const { return size_; }
  template <class T>
  void le(T value) {
    if (at_ != nullptr) store_le(at_ + size_, value);
    size_ += sizeof value;
  }
  template <class Length>
  void text(std::string_view text) {
    text = text.substr(0, std::numeric_limits<Length>::max());
    le(static_cast<Length>(text.size()));
    bytes(text);
  }
  void bytes(std::string_view bytes) {
    if (at_ != nullptr) std::copy_n(as_bytes(bytes).data(), bytes.size(), at_ + size_);
    size_ += bytes.size();
  }

 private:
  std::byte* at_;
  size_t size_ = 0;
};

void fill(Filler& out, const fintech::exchange::Said& number) {
  out.le<int64_t>(number.digits);
  out.le<uint8_t>(number.decimals);
}

void fill(Filler& out, const RuleOrder& order) {
  const bool sells = order.side == book::Side::sell;
  out.le(static_cast<uint8_t>((sells ? kSells : 0) | (order.price ? kHasPrice : 0)));
  fill(out, order.quantity);
  if (order.price) fill(out, *order.price);
  out.text<uint16_t>(order.symbol);
  out.text<uint16_t>(order.id);
  out.le<int64_t>(order.until_ms);
}

void fill(Filler& out, const RuleInput& input) {
  const bool publishes = !input.publish_topic.empty();
  const bool counts_hops = publishes && input.hops > 0;
  out.le<Offset>(input.offset);
  out.text<uint16_t>(input.topic);
  out.text<uint32_t>(input.payload);
  out.text<uint16_t>(input.position);
  const std::string_view fault = input.fault.substr(0, kEntersOrder - 1);
  out.le(static_cast<uint16_t>(fault.size() | (input.order ? kEntersOrder : 0)));
  out.bytes(fault);
  out.le(static_cast<uint8_t>((input.transfer ? kHasTransfer : 0) | (input.appends ? kHasAppend : 0) |
                              (publishes ? kHasPublish : 0) | (input.is_json ? kIsJson : 0) |
                              (input.shadow.empty() ? 0 : kHasShadow) | (input.posts ? kHasHttp : 0) |
                              (input.line.empty() ? 0 : kHasSeries) | (counts_hops ? kHasHops : 0)));
  if (input.transfer) {
    out.le(input.transfer->debit);
    out.le(input.transfer->credit);
    out.le(input.transfer->amount);
    out.text<uint16_t>(input.transfer->key);
  }
  if (input.appends) out.text<uint16_t>(input.append_key);
  if (publishes) out.text<uint16_t>(input.publish_topic);
  if (counts_hops) out.le(input.hops);
  if (input.appends || input.posts || publishes) out.text<uint32_t>(input.row);
  if (!input.shadow.empty()) out.text<uint32_t>(input.shadow);
  if (!input.line.empty()) out.text<uint32_t>(input.line);
  if (input.order) fill(out, *input.order);
}

}  // namespace

// There are many: each grows the writer once.
void append_input(ByteWriter& out, const RuleInput& input) {
  Filler measured(nullptr);
  fill(measured, input);
  const size_t begin = out.size();
  out.zeros(measured.size());
  Filler filler(out.at(begin));
  fill(filler, input);
}

namespace {

// Bytes that become a text only where they are valid ones.
std::string_view get_bytes(ByteReader& in, size_t most) {
  const std::string_view bytes = get_text(in);
  if (bytes.size() > most) in.fail();
  return bytes;
}

fintech::exchange::Said read_said(ByteReader& in) {
  fintech::exchange::Said number;
  number.digits = in.le<int64_t>();
  number.decimals = in.u8();
  if (number.decimals > kPlacesMax) in.fail();
  return number;
}

RuleOrder read_order(ByteReader& in) {
  RuleOrder order;
  const uint8_t flags = in.u8();
  order.side = (flags & kSells) != 0 ? book::Side::sell : book::Side::buy;
  order.quantity = read_said(in);
  if ((flags & kHasPrice) != 0) order.price = read_said(in);
  order.symbol = get_text(in, kOrderTextMax);
  order.id = get_text(in, kOrderTextMax);
  order.until_ms = in.le<int64_t>();
  return order;
}

RuleInput read_input(ByteReader& in) {
  RuleInput input;
  input.offset = in.le<Offset>();
  input.topic = get_bytes(in, kInputTopicMax);
  input.payload = get_long(in);
  input.position = get_text(in, kPositionBytesMax);
  const auto fault_size = in.le<uint16_t>();
  input.fault = as_text(in.take(fault_size & ~kEntersOrder));
  if (input.fault.size() > kFaultBytesMax) in.fail();
  const uint8_t flags = in.u8();
  input.is_json = (flags & kIsJson) != 0;
  if ((flags & kHasTransfer) != 0) {
    RuleMove& move = input.transfer.emplace();
    move.debit = get_wide(in);
    move.credit = get_wide(in);
    move.amount = get_wide(in);
    move.key = get_text(in);
  }
  input.appends = (flags & kHasAppend) != 0;
  if (input.appends) input.append_key = get_text(in);
  if ((flags & kHasPublish) != 0) input.publish_topic = get_text(in);
  if ((flags & kHasHops) != 0) input.hops = in.u8();
  input.posts = (flags & kHasHttp) != 0;
  if ((flags & (kHasAppend | kHasPublish | kHasHttp)) != 0) input.row = get_long(in);
  if ((flags & kHasShadow) != 0) input.shadow = get_long(in);
  if ((flags & kHasSeries) != 0) input.line = get_long(in);
  if ((fault_size & kEntersOrder) != 0) input.order = read_order(in);
  return input;
}

}  // namespace

Buffer encode(const RuleCommit& head, Bytes inputs, uint16_t count) {
  ByteWriter out;
  put_text(out, head.rule);
  out.le<uint64_t>(head.version);
  out.le<uint32_t>(head.index);
  out.le<PartitionId>(head.partition);
  out.le<Offset>(head.from);
  out.le<Offset>(head.upto);
  out.u8(head.attempt);
  out.le<uint16_t>(head.window ? count | kHasWindowStep : count);
  if (head.window) put_step(out, *head.window);
  out.append(inputs);
  return Buffer::take(out.release());
}

std::optional<RuleCommit> decode_commit(Bytes payload) {
  ByteReader in(payload);
  RuleCommit commit;
  commit.rule = get_text(in);
  commit.version = in.le<uint64_t>();
  commit.index = in.le<uint32_t>();
  commit.partition = in.le<PartitionId>();
  commit.from = in.le<Offset>();
  commit.upto = in.le<Offset>();
  commit.attempt = in.u8();
  const auto said = in.le<uint16_t>();
  const auto count = static_cast<uint16_t>(said & ~kHasWindowStep);
  if ((said & kHasWindowStep) != 0) commit.window = get_step(in);
  if (count > kInputsMax || !in.fits(count, kInputBytesLeast) || commit.from < 0 || commit.upto < commit.from)
    return std::nullopt;
  commit.inputs.reserve(count);
  Offset last = commit.from - 1;
  for (uint16_t i = 0; i < count && !in.failed(); ++i) {
    const RuleInput input = read_input(in);
    const Offset least = commit.window ? 0 : last + 1;
    if (input.offset < least || input.offset >= commit.upto) return std::nullopt;
    last = input.offset;
    commit.inputs.push_back(input);
  }
  return in.complete() ? std::optional(std::move(commit)) : std::nullopt;
}

fintech::Uint128 transfer_id(std::string_view rule, std::string_view key) {
  ByteWriter named;
  named.append("heptane rule key");
  put_text(named, rule);
  put_text(named, key);
  return id_of(named);
}

fintech::Uint128 transfer_id(std::string_view rule, PartitionId partition, Offset offset) {
  ByteWriter named;
  named.append("heptane rule place");
  put_text(named, rule);
  named.le<PartitionId>(partition);
  named.le<Offset>(offset);
  return id_of(named);
}

fintech::exchange::PortOrder port_order(const OrderAction& action, const RuleOrder& order, std::string_view client_id) {
  fintech::exchange::PortOrder made;
  made.firm = action.firm;
  made.account = action.account;
  made.client_id = order.id.empty() ? client_id : order.id;
  made.symbol = order.symbol;
  made.side = order.side;
  made.market = !order.price;
  made.tif = made.market ? book::TimeInForce::ioc : book::TimeInForce::day;
  for (const auto& [name, tif] : kTimesInForce)
    if (name == action.time_in_force) made.tif = tif;
  made.price = order.price.value_or(fintech::exchange::Said());
  made.quantity = order.quantity;
  return made;
}

namespace {

void put_statuses(ByteWriter& out, const std::vector<PublishStatus>& statuses) {
  for (const PublishStatus status : statuses) out.u8(static_cast<uint8_t>(status));
}

std::vector<PublishStatus> get_statuses(ByteReader& in, size_t count) {
  std::vector<PublishStatus> statuses;
  for (size_t i = 0; i < count && !in.failed(); ++i) statuses.push_back(static_cast<PublishStatus>(in.u8()));
  return statuses;
}

}  // namespace

Buffer encode(const CommitReply& reply) {
  ByteWriter out;
  out.le<PartitionId>(reply.partition);
  const auto count = static_cast<uint16_t>(reply.statuses.size());
  out.le<uint16_t>(reply.shadows ? count | kTellsShadows : count);
  put_statuses(out, reply.statuses);
  if (const auto& shadows = reply.shadows) {
    out.le<PartitionId>(shadows->partition);
    out.le<Offset>(shadows->first);
    out.le<uint16_t>(static_cast<uint16_t>(shadows->statuses.size()));
    put_statuses(out, shadows->statuses);
    out.le<uint32_t>(static_cast<uint32_t>(shadows->messages.size()));
    out.append(shadows->messages.view());
  }
  out.append(reply.messages.view());
  return Buffer::take(out.release());
}

std::optional<CommitReply> decode_commit_reply(const Buffer& payload) {
  ByteReader in(payload.view());
  CommitReply reply;
  reply.partition = in.le<PartitionId>();
  const auto count = in.le<uint16_t>();
  reply.statuses = get_statuses(in, count & ~kTellsShadows);
  if ((count & kTellsShadows) != 0) {
    CommitReply::Told& shadows = reply.shadows.emplace();
    shadows.partition = in.le<PartitionId>();
    shadows.first = in.le<Offset>();
    shadows.statuses = get_statuses(in, in.le<uint16_t>());
    const auto bytes = in.le<uint32_t>();
    const size_t begin = in.position();
    in.take(bytes);
    if (!in.failed()) shadows.messages = payload.slice(begin, bytes);
  }
  if (in.failed()) return std::nullopt;
  reply.messages = payload.slice(in.position());
  return reply;
}

void append_told(ByteWriter& out, const MessageView& message) {
  out.u8(kToldWhole);
  append_message(out, message);
}

void append_told(ByteWriter& out, uint16_t input) {
  out.u8(kToldInput);
  out.le<uint16_t>(input);
}

std::string hops_property(uint8_t hops) {
  const std::string count = std::to_string(hops);
  ByteWriter out;
  out.u8(kUserProperty);
  mqtt::write_text(out, kHops);
  mqtt::write_text(out, count);
  return std::string(as_text(out.view()));
}

namespace {

// `properties`: of the message, which points there.
MessageView read_told(ByteReader& in, const RuleCommit& commit, std::string& properties) {
  if (in.u8() == kToldWhole) return read_message(in);
  const auto place = in.le<uint16_t>();
  MessageView message;
  if (place >= commit.inputs.size()) {
    in.fail();
    return message;
  }
  const RuleInput& input = commit.inputs[place];
  properties = input.hops > 0 ? hops_property(input.hops) : std::string();
  message.qos = 1;
  message.topic = input.publish_topic;
  message.properties = properties;
  message.payload = input.row;
  return message;
}

}  // namespace

// What is told, then what is posted: the command's results. Messages have headers like clients', from no client.
void render_rules(const LoggedCommand& logged, uint16_t number, RecordWriter& out) {
  const size_t result = number == kOutboxView.number ? 1 : 0;
  if ((result == 0 && number != kRulesView.number) || logged.results.size() <= result) return;
  const bool once = result == 0 && logged.command.type == kRuleCommit && logged.version >= kLogicOnce;
  const auto commit = once ? decode_commit(logged.command.payload) : std::nullopt;
  if (once && !commit) return;
  std::string properties;
  MessageHeaders headers;
  ByteReader in(logged.results[result]);
  while (in.remaining() > 0 && !in.failed() && !out.full()) {
    const MessageView message = once ? read_told(in, *commit, properties) : read_message(in);
    if (in.failed()) return;
    if (!out.wants()) {
      out.skip();
      continue;
    }
    if (result == 0) headers.of(message);
    out.add({as_bytes(message.topic), true, as_bytes(message.payload), headers.all()});
  }
}

}  // namespace heptane::iot::rules
