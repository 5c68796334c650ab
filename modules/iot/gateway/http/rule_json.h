// Rules as HTTP's JSON has them. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"
#include "modules/iot/gateway/rules/compiled_rule.h"

namespace heptane::iot::rules {

// The members of a rule: `fields` is what stands there of it, and is finished by the caller.
RuleDefinition read_rule(http::JsonFields& fields, std::string_view name);
Result<RuleDefinition> rule_of_json(std::string text, std::string_view name);

// Without the end of the object.
void begin_rule(http::JsonWriter& out, const RuleRow& row);
void write_trial(http::JsonWriter& out, const RuleDefinition& rule, const Trial& trial);

}  // namespace heptane::iot::rules
