// `heptane provisioning ...`: templates and claims of a running server, over the admin listener. Main thread.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

void add_provisioning(CLI::App& app, cli::Context& context);

}  // namespace heptane::iot
