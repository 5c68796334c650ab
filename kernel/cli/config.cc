// `heptane check-config FILE` and `heptane config print`: what a configuration means, without starting anything.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "kernel/cli/command.h"
#include "kernel/cli/config_source.h"
#include "kernel/net/http/json_writer.h"
#include "kernel/net/tls_context.h"
#include "kernel/server/safety.h"
#include "kernel/server/server_keys.h"

namespace heptane::cli {

namespace {

struct Arguments {
  ConfigSource source;
  bool json = false;
  bool example = false;
};

void write_mistakes(http::JsonWriter& out, const std::vector<LocatedMistake>& mistakes) {
  for (const LocatedMistake& located : mistakes) {
    const config::Mistake& mistake = located.mistake;
    out.begin_object().key("file").text(located.file).key("key").text(mistake.key);
    out.key("line").unsigned_number(mistake.place.line).key("column").unsigned_number(mistake.place.column);
    out.key("message").text(mistake.message).end_object();
  }
}

std::string mistakes_json(const std::vector<LocatedMistake>& mistakes, const std::vector<LocatedMistake>& warnings) {
  http::JsonWriter out;
  out.begin_object().key("ok").boolean(mistakes.empty()).key("mistakes").begin_array();
  write_mistakes(out, mistakes);
  out.end_array();
  if (!warnings.empty()) {
    out.key("warnings").begin_array();
    write_mistakes(out, warnings);
    out.end_array();
  }
  out.end_object();
  return out.take();
}

// What a start takes, and what its owner may not have meant.
std::vector<LocatedMistake> warnings_of(const config::Settings& settings, const std::string& file) {
  std::vector<LocatedMistake> warnings;
  for (const config::Key& key : settings.table().all()) {
    if (key.warnings == nullptr) continue;
    const auto& texts = std::get<std::vector<std::string>>(settings.value(key.name));
    for (std::string& warning : key.warnings(texts))
      warnings.push_back({file, {key.name, settings.place(key.name), "warning: " + std::move(warning)}});
  }
  return warnings;
}

// The files are read as a start would read them.
void check_certificates(const server::ServerOptions& options, Loaded& loaded, const std::string& file) {
  if (options.tls.empty()) return;
  SystemClock clock;
  const auto context = net::TlsContext::server(options.tls.begin()->second, clock.utc_ns());
  if (context) return;
  const std::string key = "tls.certificate";
  loaded.mistakes.push_back({file, {key, loaded.settings.place(key), context.error().message}});
}

// What a start would refuse although every key is right by itself.
void check_safety(Loaded& loaded, const std::string& file) {
  server::ServerOptions options;
  server::land(loaded.settings, options);
  for (const std::string& why : server::unsafe_options(options, loaded.settings.table())) {
    const size_t colon = why.find(": ");
    const std::string key = why.substr(0, colon);
    loaded.mistakes.push_back({file, {key, loaded.settings.place(key), why.substr(colon + 2)}});
  }
  if (loaded.mistakes.empty()) check_certificates(options, loaded, file);
}

int check(const Arguments& arguments, const server::Modules& modules) {
  Loaded loaded = load_config(arguments.source, server::key_table(modules));
  if (loaded.mistakes.empty()) check_safety(loaded, arguments.source.file);
  std::vector<LocatedMistake> warnings;
  if (loaded.mistakes.empty()) warnings = warnings_of(loaded.settings, arguments.source.file);
  if (!arguments.json && !warnings.empty()) std::fputs(mistakes_text(warnings).c_str(), stderr);
  if (arguments.json)
    std::fputs(mistakes_json(loaded.mistakes, warnings).c_str(), stdout);
  else if (loaded.mistakes.empty())
    std::printf("%s: no mistakes\n", arguments.source.file.c_str());
  else
    std::fputs(mistakes_text(loaded.mistakes).c_str(), stderr);
  return loaded.mistakes.empty() ? kOk : kFailed;
}

std::string settings_json(const config::Settings& settings) {
  http::JsonWriter out;
  out.begin_object();
  for (const config::Key& key : settings.table().all()) {
    const config::Value& value = settings.value(key.name);
    out.key(key.name);
    if (const bool* flag = std::get_if<bool>(&value)) out.boolean(*flag);
    if (const int64_t* number = std::get_if<int64_t>(&value)) out.number(*number);
    if (const auto* text = std::get_if<std::string>(&value)) out.text(*text);
    if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) {
      out.begin_array();
      for (const std::string& text : *texts) out.text(text);
      out.end_array();
    }
  }
  out.end_object();
  return out.take();
}

int print(const Arguments& arguments, const server::Modules& modules) {
  const Loaded loaded = load_config(arguments.source, server::key_table(modules));
  if (!loaded.mistakes.empty()) {
    std::fputs(mistakes_text(loaded.mistakes).c_str(), stderr);
    return kFailed;
  }
  const auto style = arguments.example ? config::PrintStyle::example : config::PrintStyle::effective;
  const std::string text =
      arguments.json ? settings_json(loaded.settings) : config::print_settings(loaded.settings, style);
  std::fputs(text.c_str(), stdout);
  return kOk;
}

}  // namespace

void add_check_config(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      app.add_subcommand("check-config", "Say every mistake of a configuration file; exit code 1 when there is any.");
  command->add_option("file", arguments->source.file, "TOML file")->required();
  command->add_flag("--json", arguments->json, "As JSON");
  command->callback([arguments, &context] { context.exit_code = check(*arguments, context.make_modules()); });
}

void add_config(CLI::App& app, Context& context) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* config = app.add_subcommand("config", "What the configuration is.");
  config->require_subcommand(1);
  CLI::App* command =
      config->add_subcommand("print", "Every key with the value that holds and what it means, as TOML.");
  add_config_options(*command, arguments->source);
  command->add_flag("--example", arguments->example, "Every key at its default, commented out");
  command->add_flag("--json", arguments->json, "As JSON: sizes in bytes, durations in nanoseconds");
  command->callback([arguments, &context] { context.exit_code = print(*arguments, context.make_modules()); });
}

}  // namespace heptane::cli
