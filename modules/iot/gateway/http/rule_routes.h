// /api/v1/rules: rules, where they are and what they did, and a dry run.
#pragma once

#include "kernel/net/http/router.h"

namespace heptane::iot::rules {

void add_rule_routes(http::HttpRouter& router);

}  // namespace heptane::iot::rules
