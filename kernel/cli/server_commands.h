// Commands below one that ask a running server: each has --server, runs with the arguments that all of them share, and its result
// is the exit code. The main thread's.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "kernel/base/result.h"
#include "kernel/cli/command.h"

namespace heptane::cli {

// What adds one: (name, help, run). `below` and `context` outlive it, and the parsing.
template <class Arguments>
auto server_commands(CLI::App& below, const std::shared_ptr<Arguments>& arguments, Context& context) {
  return [&below, arguments, &context](const char* name, const char* help, int (*run)(const Arguments&)) {
    CLI::App* command = below.add_subcommand(name, help);
    command->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
    command->callback([arguments, run, &context] { context.exit_code = run(*arguments); });
    return command;
  };
}

// Says it on standard error. The exit code: kRefused where no server answers.
int failed(const Error& error);
// One request to the admin listener, the answer on standard output. The exit code.
int print_answer(const std::string& server, std::string_view method, const std::string& path, std::string body);

}  // namespace heptane::cli
