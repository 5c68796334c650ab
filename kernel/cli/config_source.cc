#include "kernel/cli/config_source.h"

#include <CLI/CLI.hpp>

namespace heptane::cli {

namespace {

void note(Loaded& loaded, const std::string& file, std::vector<config::Mistake> mistakes) {
  for (config::Mistake& mistake : mistakes) loaded.mistakes.push_back({file, std::move(mistake)});
}

void read_file(const ConfigSource& source, Loaded& loaded) {
  if (source.file.empty()) return;
  Result<std::string> text = config::read_config_file(source.file);
  // The message of a file that cannot be read begins with its name already.
  if (!text) return note(loaded, "heptane", {{{}, {}, text.error().message}});
  note(loaded, source.file, config::read_settings(*text, loaded.settings));
}

void take_set(const std::string& text, Loaded& loaded) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos)
    return note(loaded, "--set", {{{}, {}, "\"" + text + "\": say KEY=VALUE, such as kafka.auto_create=false"}});
  note(loaded, "--set", loaded.settings.give_text(text.substr(0, equals), text.substr(equals + 1)));
}

}  // namespace

void add_config_options(CLI::App& app, ConfigSource& source) {
  app.add_option("--config", source.file, "TOML file; heptane config print shows every key");
  app.add_option("--set", source.set, "KEY=VALUE, before what the file says: --set kafka.auto_create=false");
}

Loaded load_config(const ConfigSource& source, std::shared_ptr<const config::KeyTable> table) {
  Loaded loaded{config::Settings(std::move(table)), {}};
  read_file(source, loaded);
  for (const std::string& text : source.set) take_set(text, loaded);
  for (const auto& [key, value] : source.given) note(loaded, "command line", loaded.settings.give_text(key, value));
  return loaded;
}

std::string mistakes_text(const std::vector<LocatedMistake>& mistakes) {
  std::string out;
  size_t shown = 0;
  for (const LocatedMistake& located : mistakes) {
    if (shown++ == config::kMistakesLimit) break;
    out += config::mistakes_text(located.file, {located.mistake});
  }
  if (mistakes.size() > shown) out += "and " + std::to_string(mistakes.size() - shown) + " more\n";
  return out;
}

}  // namespace heptane::cli
