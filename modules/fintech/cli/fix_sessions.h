// `heptane fintech fix-session ...`: FIX sessions of a running server.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_fix_sessions(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
