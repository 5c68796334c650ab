#include "modules/iot/gateway/http/rule_json.h"

#include <algorithm>
#include <limits>

namespace heptane::iot::rules {

namespace {

using http::JsonFields;
using http::JsonType;
using http::JsonWriter;

constexpr int64_t kNsPerMs = 1'000'000;

// Reads an object's members; false: there is no such object.
template <class Read>
void read_object(JsonFields& fields, std::string_view name, Read&& read) {
  const auto value = fields.value(name);
  if (!value || value->type() == JsonType::null) return;
  if (value->type() != JsonType::object) return fields.fail(std::string(name) + " must be an object");
  JsonFields inner(*value, fields.path_of(name));
  read(inner);
  if (const Result<void> done = inner.finish(); !done) fields.fail(done.error().message);
}

std::string wide_text(fintech::Uint128 number) {
  std::string digits;
  for (; number > 0 || digits.empty(); number /= 10) digits += static_cast<char>('0' + static_cast<int>(number % 10));
  std::reverse(digits.begin(), digits.end());
  return digits;
}

void write_shadow(JsonWriter& out, const ShadowAction& shadow) {
  out.key("shadow").begin_object().key("thing").text(shadow.thing);
  if (!shadow.name.empty()) out.key("name").text(shadow.name);
  out.key("section").text(shadow.reported ? "reported" : "desired");
  if (!shadow.version.empty()) out.key("version").text(shadow.version);
  out.end_object();
}

void write_order(JsonWriter& out, const OrderAction& order) {
  out.key("order").begin_object().key("firm").text(order.firm).key("account").text(order.account);
  out.key("symbol").text(order.symbol).key("side").text(order.side).key("quantity").text(order.quantity);
  if (!order.price.empty()) out.key("price").text(order.price);
  if (!order.time_in_force.empty()) out.key("time_in_force").text(order.time_in_force);
  if (!order.id.empty()) out.key("id").text(order.id);
  if (order.within_s != 0) out.key("within_s").number(order.within_s);
  out.end_object();
}

std::string said_text(const fintech::exchange::Said& number) {
  return to_text(Decimal{number.digits, number.decimals});
}

void write_tried_order(JsonWriter& out, const OrderAction& action, const Trial& trial) {
  const fintech::exchange::PortOrder order = port_order(action, *trial.order, "");
  out.key("order").begin_object().key("firm").text(order.firm).key("account").text(order.account);
  out.key("symbol").text(trial.symbol).key("side").text(order.side == book::Side::buy ? "buy" : "sell");
  out.key("quantity").text(said_text(order.quantity));
  if (!order.market) out.key("price").text(said_text(order.price));
  if (!trial.order_id.empty()) out.key("cl_ord_id").text(trial.order_id);
  out.end_object();
}

void write_actions(JsonWriter& out, const RuleDefinition& rule) {
  if (!rule.lua.empty()) out.key("lua").text(rule.lua);
  if (rule.transfer) {
    const TransferAction& transfer = *rule.transfer;
    out.key("transfer").begin_object().key("ledger").number(transfer.ledger).key("code").number(transfer.code);
    out.key("debit").text(transfer.debit).key("credit").text(transfer.credit).key("amount").text(transfer.amount);
    if (!transfer.id.empty()) out.key("id").text(transfer.id);
    out.end_object();
  }
  if (rule.order) write_order(out, *rule.order);
  if (rule.append) {
    out.key("append").begin_object().key("stream").text(rule.append->stream);
    if (!rule.append->key.empty()) out.key("key").text(rule.append->key);
    out.end_object();
  }
  if (rule.publish) out.key("publish").begin_object().key("topic").text(rule.publish->topic).end_object();
  if (rule.http) out.key("http").begin_object().key("url").text(rule.http->url).end_object();
  if (rule.shadow) write_shadow(out, *rule.shadow);
  if (!rule.series) return;
  const SeriesAction& series = *rule.series;
  out.key("series").begin_object().key("database").text(series.database).key("measurement").text(series.measurement);
  if (!series.tags.empty()) out.key("tags").text(series.tags);
  if (!series.time.empty()) out.key("time").text(series.time);
  out.end_object();
}

void write_counters(JsonWriter& out, const RuleCounters& counters) {
  out.key("inputs").unsigned_number(counters.inputs).key("transfers").unsigned_number(counters.transfers);
  out.key("repeats").unsigned_number(counters.repeats).key("appended").unsigned_number(counters.appended);
  out.key("published").unsigned_number(counters.published).key("shadows").unsigned_number(counters.shadows);
  out.key("posts").unsigned_number(counters.posts).key("posted").unsigned_number(counters.posted);
  out.key("dead_letters").unsigned_number(counters.dead_letters).key("lost").unsigned_number(counters.lost);
  out.key("windows").unsigned_number(counters.windows).key("late").unsigned_number(counters.late);
  out.key("orders").unsigned_number(counters.orders);
}

}  // namespace

RuleDefinition read_rule(JsonFields& fields, std::string_view name) {
  RuleDefinition rule;
  rule.name = name;
  rule.sql = fields.text("sql");
  const std::string_view start = fields.text_or("start", "latest");
  if (start != "latest" && start != "earliest") fields.fail("start must be latest or earliest");
  rule.earliest = start == "earliest";
  rule.lua = fields.text_or("lua", "");
  read_object(fields, "transfer", [&](JsonFields& inner) {
    TransferAction& transfer = rule.transfer.emplace();
    transfer.ledger = static_cast<uint32_t>(inner.integer("ledger", 1, std::numeric_limits<uint32_t>::max()));
    transfer.code = static_cast<uint16_t>(inner.integer("code", 1, std::numeric_limits<uint16_t>::max()));
    transfer.debit = inner.text("debit");
    transfer.credit = inner.text("credit");
    transfer.amount = inner.text("amount");
    transfer.id = inner.text_or("id", "");
  });
  read_object(fields, "order", [&](JsonFields& inner) {
    OrderAction& order = rule.order.emplace();
    order.firm = inner.text("firm");
    order.account = inner.text("account");
    order.symbol = inner.text("symbol");
    order.side = inner.text("side");
    order.quantity = inner.text("quantity");
    order.price = inner.text_or("price", "");
    order.time_in_force = inner.text_or("time_in_force", "");
    order.id = inner.text_or("id", "");
    order.within_s = static_cast<uint32_t>(inner.integer_or("within_s", 0, 0, std::numeric_limits<uint32_t>::max()));
  });
  read_object(fields, "append", [&](JsonFields& inner) {
    rule.append.emplace().stream = inner.text("stream");
    rule.append->key = inner.text_or("key", "");
  });
  read_object(fields, "series", [&](JsonFields& inner) {
    SeriesAction& series = rule.series.emplace();
    series.database = inner.text("database");
    series.measurement = inner.text("measurement");
    series.tags = inner.text_or("tags", "");
    series.time = inner.text_or("time", "");
  });
  read_object(fields, "http", [&](JsonFields& inner) { rule.http.emplace().url = inner.text("url"); });
  read_object(fields, "shadow", [&](JsonFields& inner) {
    ShadowAction& shadow = rule.shadow.emplace();
    shadow.thing = inner.text("thing");
    shadow.name = inner.text_or("name", "");
    const std::string_view section = inner.text_or("section", "reported");
    if (section != "reported" && section != "desired") inner.fail("section must be reported or desired");
    shadow.reported = section == "reported";
    shadow.version = inner.text_or("version", "");
  });
  read_object(fields, "publish", [&](JsonFields& inner) { rule.publish.emplace().topic = inner.text("topic"); });
  return rule;
}

Result<RuleDefinition> rule_of_json(std::string text, std::string_view name) {
  auto document = http::JsonDocument::parse(std::move(text));
  if (!document) return document.error();
  JsonFields fields((*document)->root(), "");
  RuleDefinition rule = read_rule(fields, name);
  HEPTANE_TRY(fields.finish());
  return rule;
}

void begin_rule(JsonWriter& out, const RuleRow& row) {
  out.begin_object().key("name").text(row.definition.name).key("version").unsigned_number(row.version);
  out.key("sql").text(row.definition.sql).key("stream").text(row.definition.source);
  out.key("start").text(row.definition.earliest ? "earliest" : "latest");
  write_actions(out, row.definition);
  out.key("state").text(row.paused ? "paused" : "running");
  if (!row.reason.empty()) out.key("reason").text(row.reason);
  out.key("created_ms").number(row.created / kNsPerMs).key("updated_ms").number(row.updated / kNsPerMs);
  write_counters(out, row.counters);
}

void write_trial(JsonWriter& out, const RuleDefinition& rule, const Trial& trial) {
  out.begin_object().key("matches").boolean(trial.wanted);
  if (!trial.fault.empty()) out.key("dead_letter").text(trial.fault);
  if (!trial.row.empty()) out.key("row").raw(trial.row);
  if (trial.transfer) {
    out.key("transfer").begin_object().key("debit").text(wide_text(trial.transfer->debit));
    out.key("credit").text(wide_text(trial.transfer->credit)).key("amount").text(wide_text(trial.transfer->amount));
    if (!trial.transfer_key.empty())
      out.key("id").text(wide_text(transfer_id(rule.name, trial.transfer_key))).key("id_of").text(trial.transfer_key);
    out.end_object();
  }
  if (trial.order) write_tried_order(out, *rule.order, trial);
  const bool does = trial.wanted && trial.fault.empty();
  if (does && rule.append) {
    out.key("append").begin_object().key("stream").text(rule.append->stream);
    if (!trial.append_key.empty()) out.key("key").text(trial.append_key);
    out.end_object();
  }
  if (!trial.line.empty()) out.key("series").begin_object().key("line").text(trial.line).end_object();
  if (!trial.topic.empty()) out.key("publish").begin_object().key("topic").text(trial.topic).end_object();
  if (does && rule.http) out.key("http").begin_object().key("url").text(rule.http->url).end_object();
  if (trial.shadow) {
    out.key("shadow").begin_object().key("thing").text(trial.shadow->thing);
    if (!trial.shadow->name.empty()) out.key("name").text(trial.shadow->name);
    if (trial.shadow->version) out.key("version").unsigned_number(*trial.shadow->version);
    out.end_object();
  }
  out.end_object();
}

}  // namespace heptane::iot::rules
