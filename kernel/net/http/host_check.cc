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

// Without the port that the scheme has anyway.
std::string_view without_default_port(std::string_view authority, std::string_view port) {
  if (authority.ends_with(port)) authority.remove_suffix(port.size());
  return authority;
}

bool is_loopback(std::string_view name) {
  for (const std::string_view loopback : {"localhost", "127.0.0.1", "[::1]"})
    if (equals_ignoring_case(loopback, name)) return true;
  return false;
}

}  // namespace

HostCheck::HostCheck(std::vector<std::string> names) : names_(std::move(names)) {}

bool HostCheck::host_allowed(std::string_view host) const {
  const std::string_view name = without_port(host);
  if (name.empty()) return false;
  if (is_loopback(name)) return true;
  for (const std::string& listed : names_)
    if (equals_ignoring_case(without_port(listed), name)) return true;
  return false;
}

bool HostCheck::origin_allowed(std::string_view origin, std::string_view host) const {
  const bool plain = origin.starts_with("http://");
  if (!plain && !origin.starts_with("https://")) return false;
  const std::string_view port = plain ? ":80" : ":443";
  const std::string_view given = origin.substr(plain ? 7 : 8);
  const std::string_view name = without_port(given);
  if (name.empty()) return false;
  const std::string_view page = without_default_port(given, port);
  if (equals_ignoring_case(page, without_default_port(host, port)) && host_allowed(host)) return true;
  for (const std::string& listed : names_) {
    if (equals_ignoring_case(listed, name)) return true;
    if (equals_ignoring_case(without_default_port(listed, port), page)) return true;
  }
  return false;
}

bool of_another_site(std::string_view sec_fetch_site) {
  return equals_ignoring_case(sec_fetch_site, "cross-site") || equals_ignoring_case(sec_fetch_site, "same-site");
}

}  // namespace heptane::http
