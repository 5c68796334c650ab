// What a server does not do unasked: the one place that says which configurations are unsafe, and for each the key to set.
// Pure but for unsafe_options, which looks at the files. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernel/config/settings.h"

namespace heptane::server {

struct ServerOptions;

struct ListenerSafety {
  std::string name;
  std::string host;
  bool authentication = false;
  bool tls = false;
  bool insecure = false;  // listen.NAME.insecure
  bool loopback_only = false;
};

ListenerSafety listener_safety(const ServerOptions& options, const std::string& name, const std::string& host);

bool is_loopback(std::string_view host);
// Reachable from beyond loopback, not protected, and the user has said that this is meant.
bool is_insecure(const ListenerSafety& listener);
// Why the listener is refused and what to set; empty: it is not.
std::string unsafe_listener(const ListenerSafety& listener);

// Why a path with these permission bits is refused: nobody but its owner (and group) may look into what holds data or keys.
std::string unsafe_mode(std::string_view key, std::string_view path, unsigned mode);

// Everything about the options as they are that a start would refuse; a line each, which begins with the key.
std::vector<std::string> unsafe_options(const ServerOptions& options, const config::KeyTable& table);

}  // namespace heptane::server
