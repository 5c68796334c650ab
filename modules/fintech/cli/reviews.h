// `heptane fintech review`: orders that a risk rule holds for somebody's look, and what is decided. Prints what the server says.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::fintech {

void add_reviews(CLI::App& fintech, cli::Context& context);

}  // namespace heptane::fintech
