#include "modules/iot/gateway/rules/http_target.h"

#include <algorithm>
#include <charconv>

namespace heptane::iot::rules {

namespace {

constexpr uint16_t kHttpPort = 80;
constexpr uint16_t kHttpsPort = 443;
constexpr size_t kHostBytesMax = 253;

Error wrong(std::string why) { return {Errc::invalid_argument, std::move(why)}; }

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_name(std::string_view host) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  return !host.empty() && host.size() <= kHostBytesMax && host.front() != '.' && host.back() != '.' &&
         host.find("..") == std::string_view::npos && std::all_of(host.begin(), host.end(), good);
}

std::optional<uint16_t> port_of(std::string_view digits) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  const bool good = error == std::errc() && end == digits.data() + digits.size() && port > 0;
  return good ? std::optional(port) : std::nullopt;
}

struct HostPort {
  std::string host;
  std::optional<uint16_t> port{};
  bool bracketed = false;
};

// `host`, `host:port`, `[v6]`, `[v6]:port`; nullopt: none of them.
std::optional<HostPort> host_port_of(std::string_view text) {
  HostPort parts;
  parts.bracketed = text.starts_with('[');
  const size_t end = parts.bracketed ? text.find(']') : std::min(text.find(':'), text.size());
  if (end == std::string_view::npos) return std::nullopt;
  parts.host = lower(text.substr(parts.bracketed ? 1 : 0, end - (parts.bracketed ? 1 : 0)));
  text.remove_prefix(parts.bracketed ? end + 1 : end);
  if (text.empty()) return parts;
  if (!text.starts_with(':')) return std::nullopt;
  parts.port = port_of(text.substr(1));
  return parts.port ? std::optional(parts) : std::nullopt;
}

std::string bracketed(const std::string& host) { return host.find(':') == std::string::npos ? host : "[" + host + "]"; }

bool is_v6(std::string_view host) {
  return host.find(':') != std::string_view::npos && host.find('%') == std::string_view::npos &&
         net::address_bytes(host).has_value();
}

}  // namespace

std::string HttpTarget::authority() const {
  return port == (tls ? kHttpsPort : kHttpPort) ? bracketed(host) : resource();
}

std::string HttpTarget::resource() const { return bracketed(host) + ":" + std::to_string(port); }

std::string_view without_query(std::string_view url) { return url.substr(0, url.find('?')); }

Result<HttpTarget> parse_http_url(std::string_view url) {
  if (url.size() > kUrlBytesMax) return wrong("a URL has at most 1,024 bytes");
  const bool plain = std::all_of(url.begin(), url.end(), [](char c) { return c > 0x20 && c < 0x7F; });
  if (!plain || url.find_first_of("#\\\"<>^`{|}") != std::string_view::npos)
    return wrong("a URL holds no such character: encode it as %XX, and say no fragment");
  HttpTarget target;
  target.tls = url.starts_with("https://");
  if (!target.tls && !url.starts_with("http://")) return wrong("a URL begins with https:// or http://");
  url.remove_prefix(target.tls ? 8 : 7);
  const size_t slash = std::min(url.find_first_of("/?"), url.size());
  const auto parts = host_port_of(url.substr(0, slash));
  if (!parts || (parts->bracketed ? !is_v6(parts->host) : !is_name(parts->host)))
    return wrong("a URL names a host, and a port where it is another than the usual one; no user");
  target.host = parts->host;
  target.port = parts->port.value_or(target.tls ? kHttpsPort : kHttpPort);
  target.path = url.substr(slash);
  if (!target.path.starts_with('/')) target.path.insert(0, 1, '/');
  return target;
}

Result<AllowList::Entry> AllowList::entry_of(std::string_view text) {
  Entry entry;
  // An IPv6 block without a port needs no brackets.
  if (auto block = net::AddressBlock::parse(text)) {
    entry.block = block;
    return entry;
  }
  entry.below = text.starts_with("*.");
  const auto parts = host_port_of(entry.below ? text.substr(2) : text);
  if (!parts) return wrong("'" + std::string(text) + "' is no host, *.host, address or block, with or without :port");
  entry.port = parts->port.value_or(0);
  if (!entry.below) entry.block = net::AddressBlock::parse(parts->host);
  if (entry.block) return entry;
  if (parts->bracketed || !is_name(parts->host)) return wrong("'" + std::string(text) + "' names no host");
  entry.name = parts->host;
  return entry;
}

Result<AllowList> AllowList::parse(const std::vector<std::string>& entries) {
  AllowList list;
  for (const std::string& text : entries) {
    Result<Entry> entry = entry_of(text);
    if (!entry) return entry.error();
    list.entries_.push_back(std::move(*entry));
  }
  return list;
}

bool AllowList::allows(const HttpTarget& target) const {
  if (net::address_bytes(target.host)) return lists_address(target.host, target.port);
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    if (entry.block || (entry.port != 0 && entry.port != target.port)) return false;
    return entry.below ? target.host.ends_with("." + entry.name) : target.host == entry.name;
  });
}

bool AllowList::lists_address(std::string_view address, uint16_t port) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const Entry& entry) {
    return entry.block && (entry.port == 0 || entry.port == port) && entry.block->holds(address);
  });
}

bool AllowList::allows_address(std::string_view address, uint16_t port) const {
  return net::is_public_address(address) || lists_address(address, port);
}

}  // namespace heptane::iot::rules
