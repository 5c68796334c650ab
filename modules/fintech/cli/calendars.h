// `heptane fintech calendar ...`: trading calendars of a running server.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_calendars(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
