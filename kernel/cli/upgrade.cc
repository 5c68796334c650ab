// `heptane upgrade status | activate`: which logic versions the log follows, and the switch to those of this program.
#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "kernel/cli/command.h"
#include "kernel/cli/http_client.h"
#include "kernel/net/http/json.h"
#include "kernel/net/http/json_writer.h"

namespace heptane::cli {

namespace {

struct UpgradeArguments {
  std::string server = kDefaultServer;
  std::string machine;
  bool json = false;
};

std::string text_of(const http::JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return std::string(value ? value->text() : "");
}

int64_t number_of(const http::JsonValue& object, std::string_view name) {
  const auto value = object.find(name);
  return value ? value->integer().value_or(0) : 0;
}

Result<void> status(const UpgradeArguments& arguments) {
  Result<std::string> answer = HttpClient(arguments.server).call("GET", "/api/v1/upgrade");
  if (!answer) return answer.error();
  if (arguments.json) {
    std::cout << *answer << "\n";
    return {};
  }
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const http::JsonValue root = (*document)->root();
  std::printf("%-16s %8s %8s\n", "machine", "active", "newest");
  const auto machines = root.find("machines");
  for (auto item = machines ? machines->first() : std::nullopt; item; item = item->next())
    std::printf("%-16s %8lld %8lld\n", text_of(*item, "name").c_str(),
                static_cast<long long>(number_of(*item, "active")), static_cast<long long>(number_of(*item, "newest")));
  if (number_of(root, "available") > 0)
    std::printf("Newer logic is there: heptane upgrade activate. Older programs refuse the log from then on.\n");
  return {};
}

Result<void> activate(const UpgradeArguments& arguments) {
  http::JsonWriter body;
  body.begin_object();
  if (!arguments.machine.empty()) body.key("machine").text(arguments.machine);
  body.end_object();
  HttpRequestOptions options;
  options.body = body.take();
  Result<std::string> answer = HttpClient(arguments.server).call("POST", "/api/v1/upgrade/activate", options);
  if (!answer) return answer.error();
  if (arguments.json) {
    std::cout << *answer << "\n";
    return {};
  }
  const auto document = http::JsonDocument::parse(std::move(*answer));
  if (!document) return document.error();
  const http::JsonValue root = (*document)->root();
  const auto activated = root.find("activated");
  auto item = activated ? activated->first() : std::nullopt;
  if (!item) std::printf("The newest logic is active already.\n");
  for (; item; item = item->next())
    std::printf("%s: logic version %lld, was %lld\n", text_of(*item, "machine").c_str(),
                static_cast<long long>(number_of(*item, "version")), static_cast<long long>(number_of(*item, "from")));
  return {};
}

}  // namespace

void add_upgrade(CLI::App& app, Context& context) {
  const auto arguments = std::make_shared<UpgradeArguments>();
  CLI::App* command =
      app.add_subcommand("upgrade", "Logic versions: what the log follows and what this program knows.");
  command->require_subcommand(1);
  const auto part = [&](const char* name, const char* help, Result<void> (*run)(const UpgradeArguments&)) {
    CLI::App* sub = command->add_subcommand(name, help);
    sub->add_option("--server", arguments->server, "The admin listener")->capture_default_str();
    sub->add_flag("--json", arguments->json, "One JSON object");
    sub->callback([arguments, run, &context] {
      const Result<void> done = run(*arguments);
      if (done) return;
      std::cerr << "heptane: " << done.error().message << "\n";
      context.exit_code = done.error().code == Errc::closed ? kRefused : kFailed;
    });
    return sub;
  };
  part("status", "The active and the newest version of every machine.", status);
  part("activate", "Follow the newest version from now on; there is no way back.", activate)
      ->add_option("MACHINE", arguments->machine, "One machine; without it, all");
}

}  // namespace heptane::cli
