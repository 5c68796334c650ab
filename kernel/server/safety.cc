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

bool is_loopback(std::string_view host) {
  return host == "::1" || host.starts_with("127.") || host == "localhost" || host.starts_with("unix:");
}

ListenerSafety listener_safety(const ServerOptions& options, const std::string& name, const std::string& host) {
  return {name, host, options.auth.enabled, options.tls.contains(name), options.listen_insecure.contains(name), false};
}

bool is_insecure(const ListenerSafety& listener) {
  return !is_loopback(listener.host) && listener.insecure && !(listener.authentication && listener.tls);
}

std::string unsafe_listener(const ListenerSafety& listener) {
  if (is_loopback(listener.host)) return {};
  const std::string key = "listen." + listener.name;
  if (listener.loopback_only)
    return key + ".address: " + listener.host +
           " is beyond loopback, and the protocol cannot say who its clients are: use 127.0.0.1, [::1] or a Unix "
           "socket";
  if (listener.insecure || (listener.authentication && listener.tls)) return {};
  std::string missing;
  if (!listener.authentication) missing = "auth.enabled = true";
  if (!listener.tls)
    missing +=
        (missing.empty() ? "" : " and ") + ("tls.certificate, tls.key and tls.listeners = [\"" + listener.name) + "\"]";
  return key + ".address: " + listener.host + " is beyond loopback: set " + missing + ", or " + key +
         ".insecure = true when everybody who can reach it may do everything, or use 127.0.0.1 or [::1]";
}

std::string unsafe_mode(std::string_view key, std::string_view path, unsigned mode) {
  if ((mode & kOthers) == 0) return {};
  const std::string wanted = octal(mode & kPermissions & ~kOthers);
  return std::string(key) + ": " + std::string(path) + " is open to every user of this machine (mode " +
         octal(mode & kPermissions) + "): chmod " + wanted + " " + std::string(path);
}

namespace {

using Refusals = std::vector<std::string>;

void check_mode(std::string_view key, const std::string& path, bool directory, Refusals& found) {
  struct stat facts {};
  if (path.empty() || ::stat(path.c_str(), &facts) != 0) return;  // who opens it says what is wrong
  if (directory && !S_ISDIR(facts.st_mode)) return found.push_back(std::string(key) + ": " + path + " is no directory");
  if (std::string why = unsafe_mode(key, path, facts.st_mode); !why.empty()) found.push_back(std::move(why));
}

void check_tls(const ServerOptions& options, const config::KeyTable& table, Refusals& found) {
  if (options.tls_unused)
    found.push_back(
        "tls.listeners: there is a certificate and no listener is to speak TLS: say tls.listeners = [\"kafka\"]");
  if (options.tls.empty()) return;
  for (const auto& [name, tls] : options.tls) {
    if (table.find("listen." + name + ".address") == nullptr)
      found.push_back("tls.listeners: a listener `" + name + "` does not exist");
    else if (options.listen_off.contains(name))
      found.push_back("tls.listeners: the listener `" + name + "` is off");
  }
  const net::TlsOptions& tls = options.tls.begin()->second;  // one for all
  if (tls.certificate_file.empty()) found.push_back("tls.certificate: tls.listeners names a listener: say the file");
  if (tls.key_file.empty()) found.push_back("tls.key: tls.listeners names a listener: say the file");
  check_mode("tls.key", tls.key_file, false, found);
}

}  // namespace

std::vector<std::string> unsafe_options(const ServerOptions& options, const config::KeyTable& table) {
  Refusals found;
  for (const auto& [name, addresses] : options.listen)
    for (const net::Address& address : addresses) {
      ListenerSafety safety = listener_safety(options, name, address.host);
      const std::string key = "listen." + name;
      safety.loopback_only = table.find(key + ".address") != nullptr && table.find(key + ".insecure") == nullptr;
      if (std::string why = unsafe_listener(safety); !why.empty()) found.push_back(std::move(why));
    }
  check_mode("data", options.data_directory, true, found);
  check_tls(options, table, found);
  return found;
}

}  // namespace heptane::server
