// `heptane lua-worker`: what the server begins for a rule's Lua, and nobody else.
#pragma once

#include "kernel/cli/command.h"

namespace heptane::iot {

void add_lua_worker(CLI::App& app, cli::Context& context);

}  // namespace heptane::iot
