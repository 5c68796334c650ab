// `heptane fintech risk-rules ...` and `backtest`: rules over orders and their lists on a running server.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_risk_rules(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
