// `heptane ledger ...`: accounts, transfers, statements, assets and the recount of a running server.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_ledger(CLI::App& app, cli::Context& context);

}  // namespace heptane::fintech
