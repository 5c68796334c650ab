// `heptane devices ...`: the registry of a running server, over the admin listener. Main thread.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

void add_devices(CLI::App& app, cli::Context& context);

}  // namespace heptane::iot
