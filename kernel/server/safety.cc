#include "kernel/server/safety.h"

#include <sys/stat.h>

#include "kernel/server/server.h"

namespace heptane::server {

namespace {

constexpr unsigned kOthers = 0007;
constexpr unsigned kPermissions = 0777;

std::string octal(unsigned mode) {
  std::string out;
  for (int shift = 6; shift >= 0; shift -= 3) out += static_cast<char>('0' + ((mode >> shift) & 7));
  return out;
}

}  // namespace

bool is_loopback(std::string_view host) { return host == "::1" || host.starts_with("127.") || host == "localhost"; }

ListenerSafety listener_safety(const ServerOptions& options, const std::string& name, const std::string& host) {
  return {name, host, false, false, options.listen_insecure.contains(name)};
}

bool is_insecure(const ListenerSafety& listener) {
  return !is_loopback(listener.host) && listener.insecure && !(listener.authentication && listener.tls);
}

std::string unsafe_listener(const ListenerSafety& listener) {
  if (is_loopback(listener.host) || listener.insecure || (listener.authentication && listener.tls)) return {};
  const std::string key = "listen." + listener.name;
  return key + ".address: " + listener.host +
         " is beyond loopback, and there is no authentication and no TLS to switch on: use 127.0.0.1 or [::1], or "
         "set " +
         key + ".insecure = true when everybody who can reach it may do everything";
}

std::string unsafe_mode(std::string_view key, std::string_view path, unsigned mode) {
  if ((mode & kOthers) == 0) return {};
  const std::string wanted = octal(mode & kPermissions & ~kOthers);
  return std::string(key) + ": " + std::string(path) + " is open to every user of this machine (mode " +
         octal(mode & kPermissions) + "): chmod " + wanted + " " + std::string(path);
}

std::vector<std::string> unsafe_options(const ServerOptions& options) {
  std::vector<std::string> found;
  const auto add = [&](std::string why) {
    if (!why.empty()) found.push_back(std::move(why));
  };
  for (const auto& [name, address] : options.listen) add(unsafe_listener(listener_safety(options, name, address.host)));
  struct stat facts {};
  if (::stat(options.data_directory.c_str(), &facts) == 0) {
    if (!S_ISDIR(facts.st_mode)) add("data: " + options.data_directory + " is no directory");
    if (S_ISDIR(facts.st_mode)) add(unsafe_mode("data", options.data_directory, facts.st_mode));
  }
  return found;
}

}  // namespace heptane::server
