#include "kernel/net/http/host_check.h"

#include "kernel/net/http/message.h"

namespace heptane::http {

namespace {

bool is_port(std::string_view text) {
  if (text.size() > 5) return false;
  for (const char c : text)
    if (c < '0' || c > '9') return false;
  return true;
}

// The host without its port; empty when it is malformed.
std::string_view without_port(std::string_view host) {
  const size_t name_end = host.starts_with('[') ? host.find(']') : host.find(':');
  if (host.starts_with('[')) {
    if (name_end == std::string_view::npos) return {};
    const std::string_view rest = host.substr(name_end + 1);
    if (!rest.empty() && (rest.front() != ':' || !is_port(rest.substr(1)))) return {};
    return host.substr(0, name_end + 1);
  }
  if (name_end == std::string_view::npos) return host;
  return is_port(host.substr(name_end + 1)) ? host.substr(0, name_end) : std::string_view();
}

}  // namespace

HostCheck::HostCheck(std::vector<std::string> names) : names_(std::move(names)) {
  for (const char* loopback : {"localhost", "127.0.0.1", "[::1]"}) names_.emplace_back(loopback);
}

bool HostCheck::host_allowed(std::string_view host) const {
  const std::string_view name = without_port(host);
  if (name.empty()) return false;
  for (const std::string& allowed : names_)
    if (equals_ignoring_case(allowed, name)) return true;
  return false;
}

bool HostCheck::origin_allowed(std::string_view origin) const {
  for (const std::string_view scheme : {"http://", "https://"})
    if (origin.starts_with(scheme)) return host_allowed(origin.substr(scheme.size()));
  return false;
}

}  // namespace heptane::http
