#include <CLI/CLI.hpp>

#include "kernel/base/version.h"
#include "kernel/cli/command.h"

namespace heptane::cli {

namespace {

constexpr AddCommand kCommands[] = {add_serve, add_check_config, add_config, add_log,     add_stream,
                                    add_blob,  add_snapshot,     add_backup, add_explain, add_at,
                                    add_user,  add_token,        add_role,   add_upgrade};

}  // namespace

int run(int argc, char** argv, MakeModules make_modules, std::span<const AddCommand> more_commands,
        AddRoutes add_routes) {
  CLI::App app("Heptane: one durable, ordered, replayable log behind the protocols your clients already speak.",
               "heptane");
  app.require_subcommand(1);
  app.set_version_flag("--version", "heptane " + std::string(kVersion));
  Context context;
  context.make_modules = make_modules;
  context.add_routes = add_routes;
  for (const AddCommand add : kCommands) add(app, context);
  for (const AddCommand add : more_commands) add(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return context.exit_code;
}

}  // namespace heptane::cli
