#include "modules/iot/gateway/rules/rule_settings.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

namespace heptane::iot::rules {

namespace {

constexpr const char* kKeys =
    "name, sql, start, lua, transfer_ledger, transfer_code, transfer_debit, transfer_credit, transfer_amount, "
    "transfer_id, order_firm, order_account, order_symbol, order_side, order_quantity, order_price, "
    "order_time_in_force, order_id, order_within_s, "
    "append_stream, append_key, publish_topic, shadow_thing, shadow_name, shadow_section, shadow_version, http_url, "
    "series_database, series_measurement, series_tags, series_time";

template <class Number>
bool put(std::string_view text, Number& into) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool good = error == std::errc() && end == text.data() + text.size() && number >= 1 &&
                    number <= std::numeric_limits<Number>::max();
  if (good) into = static_cast<Number>(number);
  return good;
}

template <class Action>
Action& of(std::optional<Action>& action) {
  return action ? *action : action.emplace();
}

// What is wrong with the value; empty: nothing.
std::string take_transfer(std::string_view key, std::string_view value, RuleDefinition& rule) {
  TransferAction& transfer = of(rule.transfer);
  if (key == "transfer_ledger") return put(value, transfer.ledger) ? "" : "say a ledger's number, from 1";
  if (key == "transfer_code") return put(value, transfer.code) ? "" : "say a number from 1 to 65535";
  if (key == "transfer_debit") return transfer.debit = value, "";
  if (key == "transfer_credit") return transfer.credit = value, "";
  if (key == "transfer_amount") return transfer.amount = value, "";
  if (key == "transfer_id") return transfer.id = value, "";
  return std::string("there is no such key: the keys of a rule are ") + kKeys;
}

std::string take_order(std::string_view key, std::string_view value, RuleDefinition& rule) {
  OrderAction& order = of(rule.order);
  if (key == "order_within_s") return put(value, order.within_s) ? "" : "say seconds, from 1";
  for (const auto& [name, into] : {std::pair{"order_firm", &order.firm},
                                   {"order_account", &order.account},
                                   {"order_symbol", &order.symbol},
                                   {"order_side", &order.side},
                                   {"order_quantity", &order.quantity},
                                   {"order_price", &order.price},
                                   {"order_time_in_force", &order.time_in_force},
                                   {"order_id", &order.id}})
    if (key == name) return *into = value, "";
  return std::string("there is no such key: the keys of a rule are ") + kKeys;
}

std::string take_series(std::string_view key, std::string_view value, RuleDefinition& rule) {
  if (key == "series_database") return of(rule.series).database = value, "";
  if (key == "series_measurement") return of(rule.series).measurement = value, "";
  if (key == "series_tags") return of(rule.series).tags = value, "";
  if (key == "series_time") return of(rule.series).time = value, "";
  return std::string("there is no such key: the keys of a rule are ") + kKeys;
}

std::string take_shadow(std::string_view key, std::string_view value, RuleDefinition& rule) {
  ShadowAction& shadow = of(rule.shadow);
  if (key == "shadow_thing") return shadow.thing = value, "";
  if (key == "shadow_name") return shadow.name = value, "";
  if (key == "shadow_version") return shadow.version = value, "";
  if (key != "shadow_section") return std::string("there is no such key: the keys of a rule are ") + kKeys;
  shadow.reported = value == "reported";
  return shadow.reported || value == "desired" ? "" : "say reported or desired";
}

std::string take(std::string_view key, std::string_view value, RuleDefinition& rule) {
  if (key == "name") return rule.name = value, "";
  if (key == "sql") return rule.sql = value, "";
  if (key == "lua") return rule.lua = value, "";
  if (key == "start") {
    rule.earliest = value == "earliest";
    return rule.earliest || value == "latest" ? "" : "say latest or earliest";
  }
  if (key == "append_stream") return of(rule.append).stream = value, "";
  if (key == "append_key") return of(rule.append).key = value, "";
  if (key == "publish_topic") return of(rule.publish).topic = value, "";
  if (key.starts_with("series_")) return take_series(key, value, rule);
  if (key.starts_with("order_")) return take_order(key, value, rule);
  if (key == "http_url") return of(rule.http).url = value, "";
  return key.starts_with("shadow_") ? take_shadow(key, value, rule) : take_transfer(key, value, rule);
}

Error wrong(const RuleDefinition& rule, const std::string& what) {
  return {Errc::invalid_argument, (rule.name.empty() ? "a rule" : "rule " + rule.name) + ": " + what};
}

}  // namespace

Result<WantedRule> wanted_rule(RuleDefinition rule) {
  HEPTANE_TRY(check_rule(rule));
  WantedRule wanted{std::move(rule), {}};
  const Result<Select> query = Select::compile(wanted.rule.sql);
  if (query->source().is_topics) wanted.filter = query->source().name;
  return wanted;
}

Result<WantedRule> rule_of_table(const std::string& table) {
  RuleDefinition rule;
  std::string first_wrong;
  for (std::string_view rest = table; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    const size_t equals = line.find('=');
    const std::string_view key = line.substr(0, equals);
    const std::string why = take(key, line.substr(std::min(equals + 1, line.size())), rule);
    if (!why.empty() && first_wrong.empty()) first_wrong = std::string(key) + ": " + why;
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  if (!first_wrong.empty()) return wrong(rule, first_wrong);
  Result<WantedRule> wanted = wanted_rule(rule);
  if (!wanted) return wrong(rule, wanted.error().message);
  return wanted;
}

std::string wrong_rule_table(const std::string& table) {
  const auto rule = rule_of_table(table);
  return rule ? std::string() : rule.error().message;
}

std::vector<WantedRule> rules_of_tables(const std::vector<std::string>& tables) {
  std::vector<WantedRule> rules;
  for (const std::string& table : tables)
    if (auto rule = rule_of_table(table)) rules.push_back(std::move(*rule));
  return rules;
}

std::string wrong_rule_tables(const std::vector<std::string>& tables) {
  std::set<std::string> names;
  for (const WantedRule& wanted : rules_of_tables(tables))
    if (!names.insert(wanted.rule.name).second) return "rule " + wanted.rule.name + " is there twice";
  return names.size() > kRulesMax ? "more than 64 rules: that is what there can be" : std::string();
}

}  // namespace heptane::iot::rules
