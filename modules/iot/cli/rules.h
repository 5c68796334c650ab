// `heptane rules …`: rules of a running server. Main thread.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

void add_rules(CLI::App& app, cli::Context& context);

}  // namespace heptane::iot
