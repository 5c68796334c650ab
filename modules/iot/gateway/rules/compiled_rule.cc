#include "modules/iot/gateway/rules/compiled_rule.h"

#include <memory>

#include "kernel/streams/view_batches.h"
#include "modules/iot/domain/bridge/mapping.h"
#include "modules/iot/domain/rules/hops.h"
#include "modules/iot/domain/topics/topics.h"
#include "modules/iot/gateway/devices/shadow_json.h"
#include "modules/iot/gateway/devices/tree_json.h"
#include "modules/iot/gateway/rules/http_target.h"
#include "modules/iot/gateway/rules/series_point.h"

namespace heptane::iot::rules {

namespace {

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kMsPerSecond = 1'000;
constexpr int64_t kPointTimeMsMax = INT64_MAX / kNsPerMs - 1;

// Of the nanoseconds of a millisecond each partition has its own, and of those each message of a run.
constexpr int64_t kPartitionsApart = 64;
constexpr int64_t kOffsetsApart = kNsPerMs / kPartitionsApart;

constexpr std::string_view kClientHeader = "mqtt.client";  // of messages: who published them
constexpr size_t kKeptTextBytes = 4'096;                   // of a member's, for the next message

struct PointTime {
  int64_t ms = 0;
  int64_t ns = 0;
};

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

// Decimal digits, below 2^128 - 1.
std::optional<fintech::Uint128> wide_of(std::string_view digits) {
  fintech::Uint128 number = 0;
  if (digits.empty()) return std::nullopt;
  for (const char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    const auto digit = static_cast<fintech::Uint128>(c - '0');
    if (number > (fintech::kUint128Max - digit) / 10) return std::nullopt;
    number = number * 10 + digit;
  }
  return number;
}

// Of an account or amount: a whole number, or (an account's may have more than 36 digits) a text of digits.
Result<fintech::Uint128> wide_of(const Value& value, const char* what) {
  if (value.is_null()) return wrong(std::string("the ") + what + " is NULL: a field that it names is missing");
  if (value.is(ValueKind::number)) {
    const auto number = whole(value.number);
    if (number && *number >= 0) return static_cast<fintech::Uint128>(*number);
    return wrong(std::string("the ") + what + " is " + to_text(value.number) +
                 ", no whole number from 0: minor units are rounded by round()");
  }
  const auto number = value.is(ValueKind::text) ? wide_of(value.text) : std::nullopt;
  if (!number) return wrong(std::string("the ") + what + " is " + kind_name(value.kind) + " that is no number");
  return *number;
}

// `into` is empty.
Result<void> take_text(const Expression& expression, const Message& message, const Row& row, const char* what,
                       size_t most, std::string& into) {
  Value value;
  if (const Result<void> made = expression.evaluate(message, row, value); !made)
    return Error{Errc::invalid_argument, std::string(what) + ": " + made.error().message};
  if (value.is_null()) return wrong(std::string("the ") + what + " is NULL: a field that it names is missing");
  append_plain_text(into, value);
  if (!into.empty() && into.size() <= most) return {};
  return wrong(std::string("the ") + what + " has 1 to " + std::to_string(most) + " bytes");
}

Result<std::string> text_of(const Expression& expression, const Message& message, const Row& row, const char* what,
                            size_t most) {
  std::string text;
  HEPTANE_TRY(take_text(expression, message, row, what, most, text));
  return text;
}

Result<fintech::Uint128> number_of(const Expression& expression, const Message& message, const Row& row,
                                   const char* what) {
  const Result<Value> value = expression.evaluate(message, row);
  if (!value) return Error{Errc::invalid_argument, std::string(what) + ": " + value.error().message};
  return wide_of(*value, what);
}

// Of an order: as it stands, with its decimals.
Result<fintech::exchange::Said> said_of(const Expression& expression, const Message& message, const Row& row,
                                        const char* what) {
  const Result<Value> value = expression.evaluate(message, row);
  if (!value) return Error{Errc::invalid_argument, std::string(what) + ": " + value.error().message};
  if (value->is_null()) return wrong(std::string("the ") + what + " is NULL: a field that it names is missing");
  const auto number = value->is(ValueKind::number) ? std::optional(value->number)
                      : value->is(ValueKind::text) ? parse_decimal(value->text)
                                                   : std::nullopt;
  if (!number) return wrong(std::string("the ") + what + " is " + kind_name(value->kind) + " that is no number");
  if (number->digits > INT64_MAX || number->digits < INT64_MIN)
    return wrong(std::string("the ") + what + " has too many digits");
  return fintech::exchange::Said{static_cast<int64_t>(number->digits), number->places};
}

// Cut off between characters, where it is too long.
std::string cut(std::string text) {
  if (text.size() <= kFaultBytesMax) return text;
  size_t end = kFaultBytesMax;
  while (end > 0 && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  return text;
}

std::string_view header_text(ByteReader& in) {
  const int64_t size = in.zigzag();
  return size < 0 ? std::string_view() : as_text(in.take(static_cast<size_t>(size)));
}

// Where the record's own command stands, which records of views say. In other streams it is anybody's word, which the machine
// tells nobody.
std::string_view position_of(const streams::RecordView& record) {
  ByteReader in(record.headers);
  for (uint32_t left = record.header_count; left > 0 && !in.failed(); --left) {
    const std::string_view key = header_text(in);
    const std::string_view value = header_text(in);
    if (key != streams::kPositionHeader || in.failed()) continue;
    return value.size() <= kPositionBytesMax && valid_text(value) ? value : std::string_view();
  }
  return {};
}

// Of what is made of the record. It came over a bridge where one sent it on (kVia), where one of this server's published it, or
// where it was made of such a one. A client's word is taken for it, as another server's bridge is a client here: who says so wrongly gets a
// dead letter for a message of its own.
uint8_t hops_behind(const streams::RecordView& record) {
  uint8_t hops = 0;
  bool bridged = false;
  ByteReader in(record.headers);
  for (uint32_t left = record.header_count; left > 0 && !in.failed(); --left) {
    const std::string_view key = header_text(in);
    const std::string_view value = header_text(in);
    if (key == kHops) hops = std::max(hops, hops_of(value));
    bridged =
        bridged || key == kHops || key == bridge::kVia || (key == kClientHeader && value.starts_with(bridge::kClients));
  }
  return bridged ? std::min<uint8_t>(hops + 1, kHopsMax + 1) : 0;
}

std::string_view topic_of(const streams::RecordView& record) { return as_text(record.key).substr(0, kInputTopicMax); }

std::optional<devices::JsonTree> read_tree(std::string_view text) {
  const auto document = http::JsonDocument::parse(std::string(text));
  if (!document) return std::nullopt;
  return devices::tree_of((*document)->root());
}

struct Part {
  const char* what;
  const std::string* text;
  std::optional<Expression>* into;
};

Result<void> compile_part(const Part& part, const Select& query, const std::vector<std::string>& columns) {
  if (part.text->empty()) return {};
  Result<Expression> made = Expression::compile(*part.text, columns);
  if (!made) return Error{Errc::invalid_argument, std::string(part.what) + ": " + made.error().message};
  const auto of_message = query.windowing() == nullptr ? std::nullopt : made->part_of_message();
  if (of_message)
    return wrong(std::string(part.what) + ": at " + std::to_string(of_message->first + 1) + ": " + of_message->second +
                 " is of a message, and a window has only its columns");
  *part.into = std::move(*made);
  return {};
}

}  // namespace

void Trial::clear() {
  wanted = is_json = false;
  hops = 0;
  for (std::string* text : {&fault, &row, &transfer_key, &symbol, &order_id, &append_key, &topic, &line}) text->clear();
  transfer.reset();
  order.reset();
  shadow.reset();
}

std::string capture_name(std::string_view rule) { return "rule." + std::string(rule); }

Result<void> check_rule(RuleDefinition& rule) {
  const Result<Select> query = Select::compile(rule.sql);
  if (!query) return Error{query.error().code, "sql: " + query.error().message};
  rule.source = query->source().is_topics ? capture_name(rule.name) : query->source().name;
  rule.windows = query->windowing() == nullptr ? 0 : query->windowing()->says;
  if (std::string why = wrong_definition(rule); !why.empty()) return wrong(std::move(why));
  if (rule.http) {
    const Result<HttpTarget> target = parse_http_url(rule.http->url);
    if (!target) return wrong("http.url: " + target.error().message);
  }
  const Result<CompiledRule> compiled = CompiledRule::compile(rule);
  if (!compiled) return compiled.error();
  return {};
}

Result<CompiledRule> CompiledRule::compile(const RuleDefinition& rule) {
  CompiledRule made;
  made.rule_ = rule;
  Result<Select> query = Select::compile(rule.sql);
  if (!query) return Error{query.error().code, "sql: " + query.error().message};
  std::vector<Part> parts;
  if (rule.transfer) {
    parts.push_back({"transfer.debit", &rule.transfer->debit, &made.debit_});
    parts.push_back({"transfer.credit", &rule.transfer->credit, &made.credit_});
    parts.push_back({"transfer.amount", &rule.transfer->amount, &made.amount_});
    parts.push_back({"transfer.id", &rule.transfer->id, &made.id_});
  }
  if (rule.order) {
    parts.push_back({"order.symbol", &rule.order->symbol, &made.symbol_});
    parts.push_back({"order.side", &rule.order->side, &made.side_});
    parts.push_back({"order.quantity", &rule.order->quantity, &made.quantity_});
    parts.push_back({"order.price", &rule.order->price, &made.price_});
    parts.push_back({"order.id", &rule.order->id, &made.order_id_});
  }
  if (rule.append) parts.push_back({"append.key", &rule.append->key, &made.append_key_});
  if (rule.publish) parts.push_back({"publish.topic", &rule.publish->topic, &made.topic_});
  if (rule.series) {
    parts.push_back({"series.measurement", &rule.series->measurement, &made.measurement_});
    parts.push_back({"series.time", &rule.series->time, &made.time_});
  }
  if (rule.shadow) {
    parts.push_back({"shadow.thing", &rule.shadow->thing, &made.thing_});
    parts.push_back({"shadow.name", &rule.shadow->name, &made.shadow_name_});
    parts.push_back({"shadow.version", &rule.shadow->version, &made.shadow_version_});
  }
  query->add_fields(made.fields_);
  // What Lua gives are the members of a row, whatever they are.
  const std::vector<std::string> columns = rule.lua.empty() ? query->columns() : std::vector<std::string>();
  for (const Part& part : parts) {
    HEPTANE_TRY(compile_part(part, *query, columns));
    if (*part.into) (*part.into)->add_fields(made.fields_);
  }
  query->bind(made.fields_);
  for (const Part& part : parts)
    if (*part.into) (*part.into)->bind(made.fields_);
  made.query_ = std::make_shared<const Select>(std::move(*query));
  return made;
}

// Scalars as they are; of what else there is, and of numbers that no rule holds, the tree.
void CompiledRule::take_members(const http::JsonValue& root, Workspace& work) const {
  for (auto member = root.first(); member; member = member->next()) {
    const auto place = fields_.place_of(member->name());
    if (!place) continue;
    Value& value = work.members[*place];
    switch (member->type()) {
      case http::JsonType::null: continue;
      case http::JsonType::boolean: value.become(member->boolean()); continue;
      case http::JsonType::text: value.become(member->text()); continue;
      case http::JsonType::integer:
      case http::JsonType::real:
        if (const auto number = parse_decimal(member->raw())) {
          value.become(*number);
          continue;
        }
        break;
      case http::JsonType::array:
      case http::JsonType::object: break;
    }
    work.trees.push_back(std::make_unique<devices::JsonTree>(devices::tree_of(*member)));
    value.kind = ValueKind::json;
    value.json = work.trees.back().get();
  }
}

Result<RuleMove> CompiledRule::move_of(const Message& message, const Row& row, std::string& key) const {
  RuleMove move;
  for (const auto& [what, expression, into] : {std::tuple{"transfer.debit", &debit_, &move.debit},
                                               {"transfer.credit", &credit_, &move.credit},
                                               {"transfer.amount", &amount_, &move.amount}}) {
    const Result<fintech::Uint128> number = number_of(**expression, message, row, what);
    if (!number) return number.error();
    *into = *number;
  }
  if (id_) HEPTANE_TRY(take_text(*id_, message, row, "transfer.id", kIdKeyBytesMax, key));
  return move;
}

Result<void> CompiledRule::take_order(const Message& message, const Row& row, Trial& trial) const {
  RuleOrder order;
  HEPTANE_TRY(take_text(*symbol_, message, row, "order.symbol", kOrderTextMax, trial.symbol));
  const Result<std::string> side = text_of(*side_, message, row, "order.side", kOrderTextMax);
  if (!side) return side.error();
  if (*side != "buy" && *side != "sell") return wrong("order.side is buy or sell");
  order.side = *side == "buy" ? book::Side::buy : book::Side::sell;
  const Result<fintech::exchange::Said> quantity = said_of(*quantity_, message, row, "order.quantity");
  if (!quantity) return quantity.error();
  order.quantity = *quantity;
  if (price_) {
    const Result<fintech::exchange::Said> price = said_of(*price_, message, row, "order.price");
    if (!price) return price.error();
    order.price = *price;
  }
  if (order_id_) HEPTANE_TRY(take_text(*order_id_, message, row, "order.id", kOrderTextMax, trial.order_id));
  for (const std::string* text : {&trial.symbol, &trial.order_id})
    if (!text->empty() && !valid_text(*text)) return wrong("order: the symbol or the id is no text");
  if (rule_.order->within_s != 0) order.until_ms = message.timestamp_ms + int64_t{rule_.order->within_s} * kMsPerSecond;
  trial.order = order;
  return {};
}

Result<std::string> CompiledRule::line_of(const Message& message, const Row& row) const {
  PointTime time{message.timestamp_ms,
                 message.offset % kOffsetsApart * kPartitionsApart + message.partition % kPartitionsApart};
  if (time_) {
    const Result<fintech::Uint128> ms = number_of(*time_, message, row, "series.time");
    if (!ms) return ms.error();
    if (*ms > static_cast<fintech::Uint128>(kPointTimeMsMax)) return wrong("series.time is too large");
    time = {static_cast<int64_t>(*ms), 0};
  }
  if (time.ms < 0 || time.ms > kPointTimeMsMax) return wrong("series: the message's time is out of range");
  const Result<std::string> measurement = text_of(*measurement_, message, row, "series.measurement", kInputTopicMax);
  if (!measurement) return measurement.error();
  return point_of(*measurement, rule_.series->tags, row, time.ms * kNsPerMs + time.ns);
}

// As a device would write it: what is wrong with that is wrong with this.
Result<devices::ShadowRequest> CompiledRule::shadow_of(const Message& message, const Row& row,
                                                       const std::string& state) const {
  const Result<std::string> thing = text_of(*thing_, message, row, "shadow.thing", devices::kNameLimitBytes);
  if (!thing) return thing.error();
  Result<std::string> name = std::string();
  if (shadow_name_) name = text_of(*shadow_name_, message, row, "shadow.name", devices::kShadowNameBytesMax);
  if (!name) return name.error();
  for (const std::string* one : std::initializer_list<const std::string*>{&*thing, &*name})
    if (!one->empty() && !devices::valid_name(*one)) return wrong("shadow: " + *one + " names no thing and no shadow");
  std::string request = R"({"state":{")";
  request += rule_.shadow->reported ? "reported" : "desired";
  request += "\":" + state + "}";
  if (shadow_version_) {
    const Result<fintech::Uint128> version = number_of(*shadow_version_, message, row, "shadow.version");
    if (!version) return version.error();
    if (*version > static_cast<fintech::Uint128>(INT64_MAX)) return wrong("shadow.version is too large");
    request += ",\"version\":" + std::to_string(static_cast<uint64_t>(*version));
  }
  return devices::read_shadow_request({*thing, *name, devices::ShadowOperation::update}, request + "}");
}

Result<void> CompiledRule::act(const Message& message, const Row& row, Trial& trial) const {
  if (rule_.transfer) {
    Result<RuleMove> move = move_of(message, row, trial.transfer_key);
    if (!move) return move.error();
    trial.transfer = *move;
  }
  if (rule_.order) HEPTANE_TRY(take_order(message, row, trial));
  if (append_key_) HEPTANE_TRY(take_text(*append_key_, message, row, "append.key", kInputTopicMax, trial.append_key));
  if (topic_) {
    HEPTANE_TRY(take_text(*topic_, message, row, "publish.topic", kTopicLimitBytes, trial.topic));
    const std::string& topic = trial.topic;
    if (!valid_text(topic) || !valid_topic(topic) || !within_limits(topic) || topic.starts_with('$'))
      return wrong("publish.topic: " + topic + " is no topic that messages are published to");
  }
  if (measurement_) {
    Result<std::string> line = line_of(message, row);
    if (!line) return line.error();
    trial.line = std::move(*line);
  }
  if (thing_) {
    Result<devices::ShadowRequest> shadow = shadow_of(message, row, trial.row);
    if (!shadow) return shadow.error();
    trial.shadow = std::move(*shadow);
  }
  return {};
}

namespace {

constexpr const char* kPayloadTooLong = "the payload is longer than 64 KiB";

void become_faulty(Trial& trial, std::string why, bool is_json) {
  trial.clear();
  trial.wanted = true;
  trial.is_json = is_json;
  trial.fault = cut(std::move(why));
}

Trial faulty(std::string why, bool is_json) {
  Trial trial;
  become_faulty(trial, std::move(why), is_json);
  return trial;
}

// Of a message of this topic; its payload is no longer than it may be.
Message message_of(std::string_view topic, std::string_view payload, int64_t timestamp_ms, Offset offset,
                   uint32_t partition) {
  return {topic, payload, nullptr, timestamp_ms, offset, read_tree, 0, {}, partition};
}

Message message_of(const streams::RecordView& record, uint32_t partition) {
  Message message = message_of(topic_of(record), as_text(record.value), record.timestamp_ms, record.offset, partition);
  message.hops = hops_behind(record);
  return message;
}

RuleInput place_of(Offset offset) {
  RuleInput input;
  input.offset = offset;
  return input;
}

// Which records a row is made of.
std::string shown_row(const Windows::ClosedRow& row) {
  std::string out = "{\"window_start\":" + std::to_string(row.start_ms);
  out += ",\"window_end\":" + std::to_string(row.end_ms) + ",\"group\":" + row.group;
  out += ",\"records\":" + std::to_string(row.records);
  out += ",\"first_offset\":" + std::to_string(row.first_offset);
  return out + ",\"last_offset\":" + std::to_string(row.last_offset) + "}";
}

}  // namespace

bool CompiledRule::read(Message& message, Workspace& work) const {
  const auto document = http::JsonDocument::parse(std::string(message.payload));
  if (!document) return false;
  const http::JsonValue root = (*document)->root();
  message.json = &work.all;
  if (query_->takes_all()) {
    work.all = devices::tree_of(root);
    return true;
  }
  work.members.resize(fields_.size());
  for (Value& member : work.members) {
    member.become_null();
    if (member.text.capacity() > kKeptTextBytes) member.text.shrink_to_fit();
  }
  work.trees.clear();
  take_members(root, work);
  message.members = work.members;
  return true;
}

void CompiledRule::finish(const Message& message, const Row& row, bool is_json, Trial& trial) const {
  trial.wanted = true;
  trial.is_json = is_json;
  if (message.hops > kHopsMax) return become_faulty(trial, kTooManyHops, is_json);
  trial.hops = message.hops;
  append_json(trial.row, row);
  if (trial.row.size() > kInputPayloadMax)
    return become_faulty(trial, "what the rule selects is longer than 64 KiB", is_json);
  if (const Result<void> done = act(message, row, trial); !done) become_faulty(trial, done.error().message, is_json);
}

Trial CompiledRule::try_on(std::string_view topic, std::string_view payload, int64_t timestamp_ms, Offset offset,
                           uint32_t partition) const {
  Workspace work;
  try_on(message_of(topic, payload, timestamp_ms, offset, partition), work);
  return std::move(work.trial);
}

void CompiledRule::try_on(Message message, Workspace& work) const {
  Trial& trial = work.trial;
  trial.clear();
  if (message.payload.size() > kInputPayloadMax) return become_faulty(trial, kPayloadTooLong, false);
  trial.is_json = read(message, work);
  if (query_->windowing() != nullptr) {
    trial = try_window(message);
    return;
  }
  const Result<bool> wanted = query_->run(message, work.row);
  if (!wanted) return become_faulty(trial, wanted.error().message, trial.is_json);
  if (*wanted) finish(message, work.row, trial.is_json, trial);
}

bool CompiledRule::is_told(const Trial& trial) const {
  return !trial.fault.empty() || rule_.transfer || rule_.order || rule_.shadow || rule_.series || rule_.append;
}

void CompiledRule::append_trial(const Trial& trial, RuleInput input, ByteWriter& out) const {
  if (!is_told(trial)) input = place_of(input.offset);
  ByteWriter shadow;
  input.is_json = trial.is_json && is_told(trial);
  input.fault = trial.fault;
  if (trial.fault.empty()) {
    if (trial.transfer) {
      input.transfer = trial.transfer;
      input.transfer->key = trial.transfer_key;
    }
    if (trial.order) {
      input.order = trial.order;
      input.order->symbol = trial.symbol;
      input.order->id = trial.order_id;
    }
    input.line = trial.line;
    input.posts = rule_.http.has_value();
    input.appends = rule_.append.has_value();
    input.append_key = trial.append_key;
    input.publish_topic = trial.topic;
    input.hops = trial.hops;
    input.row = trial.row;
    if (trial.shadow) devices::append_request(shadow, *trial.shadow);
    input.shadow = as_text(shadow.view());
  }
  append_input(out, input);
}

// Its payload where it is not too long.
RuleInput CompiledRule::input_of(const streams::RecordView& record) {
  RuleInput input;
  const std::string_view payload = as_text(record.value);
  input.offset = record.offset;
  input.topic = topic_of(record);
  if (payload.size() <= kInputPayloadMax) input.payload = payload;
  input.position = position_of(record);
  return input;
}

bool CompiledRule::is_ours(const streams::RecordView& record) const {
  const std::string& keys = query_->source().keys;
  return keys.empty() || matches(keys, topic_of(record));
}

bool CompiledRule::append_input_of(const streams::RecordView& record, uint32_t partition, Workspace& work,
                                   ByteWriter& out) const {
  if (!is_ours(record)) return false;
  try_on(message_of(record, partition), work);
  const Trial& trial = work.trial;
  if (!trial.wanted) return false;
  append_trial(trial, is_told(trial) ? input_of(record) : place_of(record.offset), out);
  return true;
}

// With Lua.

void LuaCall::append_to(std::string& frames) const {
  std::string message = "{\"topic\":";
  devices::write_json_text(message, valid_text(topic) ? topic : std::string());
  message += ",\"timestamp\":" + std::to_string(timestamp_ms) + ",\"partition\":" + std::to_string(partition);
  append_call(frames, row, message + ",\"offset\":" + std::to_string(offset) + "}");
}

std::optional<LuaCall> CompiledRule::lua_call_of(const streams::RecordView& record, uint32_t partition) const {
  if (!is_ours(record)) return std::nullopt;
  LuaCall call{record.offset, partition, record.timestamp_ms, std::string(topic_of(record)), {}, {}, false, 0, {}, {}};
  call.position = position_of(record);
  call.hops = hops_behind(record);
  call.fault = kPayloadTooLong;
  if (record.value.size() > kInputPayloadMax) return call;
  call.payload = as_text(record.value);
  Message message = message_of(call.topic, call.payload, call.timestamp_ms, call.offset, partition);
  Workspace work;
  call.is_json = read(message, work);
  const Result<std::optional<Row>> row = query_->run(message);
  if (row && !*row) return std::nullopt;
  call.fault = row ? std::string() : cut(row.error().message);
  if (row) call.row = json_of(**row);
  if (call.row.size() > kInputPayloadMax) call.fault = "what the rule selects is longer than 64 KiB";
  if (call.hops > kHopsMax) call.fault = kTooManyHops;
  return call;
}

// As what it gave says, of the message that it was asked of.
Trial CompiledRule::trial_of(const LuaCall& call, const Frame& answer) const {
  if (!call.fault.empty()) return faulty(call.fault, call.is_json);
  if (answer.kind != FrameKind::row) return faulty("lua: " + answer.text, call.is_json);
  const auto document = http::JsonDocument::parse(answer.text);
  if (!document) return faulty("lua: the row: " + document.error().message, call.is_json);
  const devices::JsonTree tree = devices::tree_of((*document)->root());
  Message message = message_of(call.topic, call.payload, call.timestamp_ms, call.offset, call.partition);
  message.json = &tree;
  message.hops = call.hops;
  Row row;
  for (const auto& [name, member] : tree.members) {
    Value value;
    value.kind = ValueKind::json;
    value.json = &member;
    row.emplace_back(name, std::move(value));
  }
  Trial trial;
  finish(message, row, call.is_json, trial);
  return trial;
}

bool CompiledRule::append_input_of(const LuaCall& call, const Frame& answer, ByteWriter& out) const {
  if (call.fault.empty() && answer.kind == FrameKind::nothing) return false;
  RuleInput input;
  input.offset = call.offset;
  input.topic = call.topic;
  input.payload = call.payload;
  input.position = call.position;
  append_trial(trial_of(call, answer), input, out);
  return true;
}

// Over windows.

CompiledRule::Offered CompiledRule::offer(const streams::RecordView& record, int64_t latest_ms, Windows& windows,
                                          ByteWriter& out) const {
  if (!windows.pass(record.timestamp_ms, latest_ms)) return Offered::not_yet;
  if (!is_ours(record)) return Offered::done;
  Message message = message_of(record, 0);
  const auto tell = [&](std::string why) {
    append_trial(faulty(std::move(why), message.json != nullptr), input_of(record), out);
  };
  if (record.value.size() > kInputPayloadMax) return tell(kPayloadTooLong), Offered::told;
  Workspace work;
  read(message, work);
  const Result<Windows::Taken> taken = windows.offer(message, latest_ms);
  if (!taken) return tell(taken.error().message), Offered::told;
  if (*taken == Windows::Taken::not_yet) return Offered::not_yet;
  if (*taken != Windows::Taken::late) return Offered::done;
  if (!window()->tells_late) return Offered::late;
  tell("it is late: its window is closed");
  return Offered::late_and_told;
}

void CompiledRule::rebuild(const streams::RecordView& record, Windows& windows) const {
  if (!is_ours(record) || record.value.size() > kInputPayloadMax) return;
  Message message = message_of(record, 0);
  Workspace work;
  read(message, work);
  windows.rebuild(message);
}

// A debt that has no name of its own is that of its window and group.
Trial CompiledRule::trial_of(const Windows::ClosedRow& row) const {
  if (!row.row) return faulty(row.row.error().message, true);
  if (!*row.row) return {};
  Message message;
  message.timestamp_ms = row.start_ms;
  message.hops = row.hops;
  Trial trial;
  finish(message, **row.row, true, trial);
  if (trial.transfer && trial.transfer_key.empty())
    trial.transfer_key = "window " + std::to_string(row.start_ms) + " " + std::to_string(row.end_ms) + " " + row.group;
  return trial;
}

Trial CompiledRule::try_window(const Message& message) const {
  Windows alone = windows_at({});
  const Result<Windows::Taken> taken = alone.offer(message);
  const bool is_json = message.json != nullptr;
  if (!taken) return faulty(taken.error().message, is_json);
  if (const auto end_ms = alone.first_end_ms()) alone.raise(*end_ms);
  const auto row = alone.take_row();
  return row ? trial_of(*row) : Trial{};
}

bool CompiledRule::append_input_of(const Windows::ClosedRow& row, std::string_view fault, ByteWriter& out) const {
  Trial trial = trial_of(row);
  if (!trial.wanted) return false;
  if (!fault.empty()) trial = faulty(std::string(fault), true);
  const std::string payload = shown_row(row);
  RuleInput input;
  input.offset = row.last_offset;
  input.payload = payload;
  append_trial(trial, input, out);
  return true;
}

}  // namespace heptane::iot::rules
