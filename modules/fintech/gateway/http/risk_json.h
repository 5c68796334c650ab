// Rules over orders and their lists as JSON. What is wrong is named with its path: `rules[2].when.all[0]: ...`. Pure.
//
//   {"windows": {NAME: {"key": [account|firm|instrument|session, ...], "seconds": N, "adds": orders|quantity|notional, "exact": 256, "keys": 65536}},
//    "rules": [{"name": NAME, "when": CONDITION, "then": review|deny, "on_error": allow|review|deny, "fuel": 1000,
//                "review": {"seconds": N, "otherwise": allow|deny}}]}
//   CONDITION: {"all": [CONDITION, ...]}, {"any": [...]}, {"not": CONDITION}, {"<" <= = != >= >: [NUMBER, NUMBER]},
//     {"is": [FIELD, "text"]}, {"in": [FIELD, LIST]}
//   NUMBER: an integer, {"field": FIELD}, {"window": NAME}, {"+" - *: [NUMBER, NUMBER]}
#pragma once

#include <string>

#include "kernel/base/result.h"
#include "modules/fintech/domain/risk_rules/spec.h"

namespace heptane::fintech::exchange_http {

// Of its form alone: risk_rules::Program::compile() judges what it says.
Result<risk_rules::RuleSetSpec> rules_of_json(std::string body);
// {"items": ["alpha/main", ...]} or of integers; in any order.
Result<risk_rules::List> list_of_json(std::string body, std::string name);

}  // namespace heptane::fintech::exchange_http
