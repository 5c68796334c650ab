// The command `heptane sim`: runs the whole-server simulator over many seeds (docs/simulator.md).
#pragma once

#include "kernel/cli/command.h"

namespace heptane::sim {

void add_sim(CLI::App& app, cli::Context& context);

}  // namespace heptane::sim
