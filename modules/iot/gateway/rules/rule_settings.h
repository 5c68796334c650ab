// `[[iot.rules]]` of the configuration: what each table declares and what is wrong with it. Keys: name, sql, start, lua, and of the actions
// transfer_ledger, transfer_code, transfer_debit, transfer_credit, transfer_amount, transfer_id, order_firm, order_account, order_symbol,
// order_side, order_quantity, order_price, order_time_in_force, order_id, order_within_s, append_stream, append_key,
// publish_topic, shadow_thing, shadow_name, shadow_section, shadow_version, http_url, series_database, series_measurement,
// series_tags, series_time. Pure; any thread.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/result.h"
#include "modules/iot/gateway/rules/rule_runner.h"

namespace heptane::iot::rules {

// `table`: its lines `key=value` (config::Type::tables).
Result<WantedRule> rule_of_table(const std::string& table);
std::string wrong_rule_table(const std::string& table);
std::string wrong_rule_tables(const std::vector<std::string>& tables);
// Those that are right.
std::vector<WantedRule> rules_of_tables(const std::vector<std::string>& tables);

// A rule with the stream over topics that its SQL needs.
Result<WantedRule> wanted_rule(RuleDefinition rule);

}  // namespace heptane::iot::rules
