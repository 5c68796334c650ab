// Where a command's configuration comes from: a file, then --set and the command's own options. Reads and checks; prints
// nothing. Main thread.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "kernel/config/settings.h"

namespace CLI {
class App;
}

namespace heptane::cli {

struct ConfigSource {
  std::string file;                                        // empty: none
  std::vector<std::string> set;                            // KEY=VALUE
  std::vector<std::pair<std::string, std::string>> given;  // key and value of options such as --data
};

void add_config_options(CLI::App& app, ConfigSource& source);

// A mistake with the file it is in; `--set` for the command line.
struct LocatedMistake {
  std::string file;
  config::Mistake mistake;
};
struct Loaded {
  config::Settings settings;
  std::vector<LocatedMistake> mistakes;
};
Loaded load_config(const ConfigSource& source, std::shared_ptr<const config::KeyTable> table);
// A line each, as many as one wants to read at once.
std::string mistakes_text(const std::vector<LocatedMistake>& mistakes);

}  // namespace heptane::cli
