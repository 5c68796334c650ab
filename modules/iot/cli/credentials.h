// `heptane devices credentials …`: what proves who a device is.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

// `devices` is the command that they are part of.
void add_credentials(CLI::App& devices, cli::Context& context);

}  // namespace heptane::iot
