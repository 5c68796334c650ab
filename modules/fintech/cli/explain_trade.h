// `heptane fintech explain TRADE`: why every cent of a trade moved, and what was said of it.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_explain_trade(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
