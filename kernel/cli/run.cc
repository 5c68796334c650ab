#include <CLI/CLI.hpp>

#include "kernel/cli/command.h"

namespace heptane::cli {

namespace {

constexpr void (*kCommands[])(CLI::App&, Context&) = {add_serve};

}  // namespace

int run(int argc, char** argv, MakeModules make_modules) {
  CLI::App app("Heptane: one durable, ordered, replayable log behind the protocols your clients already speak.",
               "heptane");
  app.require_subcommand(1);
  app.set_version_flag("--version", "heptane 0.1");
  Context context;
  context.make_modules = make_modules;
  for (const auto add : kCommands) add(app, context);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return context.exit_code;
}

}  // namespace heptane::cli
