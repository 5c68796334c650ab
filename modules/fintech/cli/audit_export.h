// `heptane fintech audit`: a day of the exchange as CSV files.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_audit_export(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
