// The command table: one entry and one function per command of the binary. kernel and modules fill it; app runs it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernel/server/module.h"

namespace CLI {
class App;
}

namespace heptane::cli {

// Exit codes that scripts can trust.
enum ExitCode : int {
  kOk = 0,
  kFailed = 1,    // the command ran and the answer is no: corruption found, a test failed
  kUsage = 2,     // the command line is wrong
  kRefused = 3,   // the server would not start; stderr says why and what to do
  kStorage = 74,  // a write or a sync failed while running: nothing unsynced was acknowledged
};

using MakeModules = server::Modules (*)();
// Endpoints of the admin listener from above the kernel.
using AddRoutes = void (*)(http::HttpRouter&);

// Adds the command's options to `app`; the function given to app.final_callback-like `run` slots writes the exit code.
struct Context {
  MakeModules make_modules = nullptr;
  AddRoutes add_routes = nullptr;
  int exit_code = kOk;
};

void add_serve(CLI::App& app, Context& context);
void add_check_config(CLI::App& app, Context& context);
void add_config(CLI::App& app, Context& context);
void add_log(CLI::App& app, Context& context);
void add_user(CLI::App& app, Context& context);
void add_token(CLI::App& app, Context& context);
void add_role(CLI::App& app, Context& context);
void add_stream(CLI::App& app, Context& context);
void add_backup(CLI::App& app, Context& context);
void add_snapshot(CLI::App& app, Context& context);
void add_blob(CLI::App& app, Context& context);
void add_explain(CLI::App& app, Context& context);
// `explain` for a command that has found the position: prints, returns the exit code.
struct ExplainArguments {
  std::string data = "heptane-data";
  std::string server{};  // for the streams' names
  std::string position{};
  bool json = false;
};
int explain(const ExplainArguments& arguments, const Context& context);
void add_at(CLI::App& app, Context& context);
void add_upgrade(CLI::App& app, Context& context);

using AddCommand = void (*)(CLI::App&, Context&);

// Parses and runs; the process's exit code. `more_commands` and `add_routes` are those of layers above the kernel.
int run(int argc, char** argv, MakeModules make_modules, std::span<const AddCommand> more_commands = {},
        AddRoutes add_routes = nullptr);

}  // namespace heptane::cli
