// The kernel's part of the configuration table: every key of ServerOptions, and the keys of the modules behind them.
#pragma once

#include <memory>

#include "kernel/config/settings.h"
#include "kernel/server/module.h"
#include "kernel/server/server.h"

namespace heptane::server {

// The keys of one listener: [listen.NAME] with its address and, unless it is for loopback alone, `insecure`. A module adds
// them for each of its own.
std::vector<config::Key> listener_keys(const std::string& name, uint16_t default_port, bool loopback_only = false);

// All keys there are.
std::shared_ptr<const config::KeyTable> key_table(const Modules& modules);

// Puts what holds into the options. What has no key stays as it is.
void land(const config::Settings& settings, ServerOptions& options);

// What a running server takes over from `wanted`: its reloadable keys.
struct Reload {
  config::Settings settings;
  std::vector<const config::Key*> changed;
  std::vector<const config::Key*> need_restart;
};
Reload plan_reload(const config::Settings& current, const config::Settings& wanted);

}  // namespace heptane::server
