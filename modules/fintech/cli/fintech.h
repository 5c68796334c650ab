// `heptane fintech ...`: instruments, books, accounts and orders of a running server's exchange; `demo` makes two firms trade.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_fintech(CLI::App& app, cli::Context& context);

}  // namespace heptane::fintech
