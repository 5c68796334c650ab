// `heptane fintech positions | mark`: what accounts have traded and gained, and what it is valued at.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_positions(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
