#include "modules/iot/cli/lua_worker.h"

#include <CLI/CLI.hpp>

#include "modules/iot/worker/lua/lua_worker.h"

namespace heptane::iot {

void add_lua_worker(CLI::App& app, cli::Context& context) {
  app.add_subcommand("lua-worker", "Runs a rule's Lua for the server that began it.")->group("")->callback([&context] {
    context.exit_code = rules::run_lua_worker();
  });
}

}  // namespace heptane::iot
