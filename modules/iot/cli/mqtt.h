// `heptane mqtt ...`: clients, sessions, subscriptions and retained messages of a running server's broker; ending, purging,
// watching them.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

void add_mqtt(CLI::App& app, cli::Context& context);

}  // namespace heptane::iot
