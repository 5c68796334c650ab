// `heptane fintech trade, bust, correct, receivables, clear, withdraw-fees`: trades that are put right.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_corrections(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
