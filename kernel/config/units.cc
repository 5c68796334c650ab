#include "kernel/config/units.h"

#include <array>
#include <charconv>
#include <span>

namespace heptane::config {

namespace {

struct Unit {
  std::string_view name;
  int64_t worth;
};

// From the largest down: the first that divides a number is the one to write it in.
constexpr std::array kSizes = {
    Unit{"TiB", int64_t{1} << 40},
    Unit{"GiB", int64_t{1} << 30},
    Unit{"MiB", int64_t{1} << 20},
    Unit{"KiB", int64_t{1} << 10},
    Unit{"TB", 1'000'000'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"MB", 1'000'000},
    Unit{"KB", 1'000},
    Unit{"B", 1},
};
constexpr std::array kDurations = {
    Unit{"d", 86'400'000'000'000},
    Unit{"h", 3'600'000'000'000},
    Unit{"m", 60'000'000'000},
    Unit{"s", 1'000'000'000},
    Unit{"ms", 1'000'000},
    Unit{"us", 1'000},
    Unit{"ns", 1},
};

std::optional<int64_t> parse(std::string_view text, std::span<const Unit> units) {
  int64_t number = 0;
  size_t at = 0;
  for (; at < text.size() && ((text[at] >= '0' && text[at] <= '9') || (text[at] == '_' && at > 0)); ++at) {
    if (text[at] == '_') continue;
    if (__builtin_mul_overflow(number, int64_t{10}, &number) ||
        __builtin_add_overflow(number, int64_t{text[at] - '0'}, &number))
      return std::nullopt;
  }
  if (at == 0) return std::nullopt;
  std::string_view name = text.substr(at);
  if (name.starts_with(' ')) name.remove_prefix(1);
  for (const Unit& unit : units)
    if (unit.name == name) {
      if (__builtin_mul_overflow(number, unit.worth, &number)) return std::nullopt;
      return number;
    }
  return std::nullopt;
}

std::string print(int64_t number, std::span<const Unit> units) {
  for (const Unit& unit : units)
    if (number != 0 && number % unit.worth == 0) return std::to_string(number / unit.worth) + std::string(unit.name);
  return "0" + std::string(units.back().name);
}

}  // namespace

std::optional<int64_t> parse_size(std::string_view text) { return parse(text, kSizes); }
std::optional<int64_t> parse_duration(std::string_view text) { return parse(text, kDurations); }

std::string size_text(int64_t bytes) {
  // Decimal units are for who writes them; a number that only they divide is clearer as it is.
  static_assert(kSizes[3].worth == 1024);
  for (const Unit& unit : std::span(kSizes).first(4))
    if (bytes != 0 && bytes % unit.worth == 0) return std::to_string(bytes / unit.worth) + std::string(unit.name);
  return std::to_string(bytes) + "B";
}

std::string duration_text(int64_t ns) { return ns == 0 ? "0s" : print(ns, kDurations); }

std::optional<HostPort> parse_host_port(std::string_view text) {
  constexpr size_t kHostLimit = 253;
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.front() == '[') {
    if (host.size() < 3 || host.back() != ']') return std::nullopt;
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // an IPv6 address without brackets: where does it end?
  }
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc{} || end != port.data() + port.size() || host.size() > kHostLimit) return std::nullopt;
  for (const char c : host)
    if (c <= ' ' || c == '/' || c == '"' || c == 0x7f) return std::nullopt;
  return HostPort{std::string(host), number};
}

bool is_unix_address(std::string_view text) {
  constexpr size_t kPathLimit = 107;  // sockaddr_un
  constexpr std::string_view kUnix = "unix:";
  return text.starts_with("unix:/") && text.size() > 6 && text.size() - kUnix.size() <= kPathLimit &&
         text.find('\0') == std::string_view::npos;
}

bool is_numeric_host(std::string_view host) {
  if (host.find(':') != std::string_view::npos) return host.find_first_not_of("0123456789abcdefABCDEF:.%") == host.npos;
  int dots = 0;
  for (const char c : host) {
    if (c == '.') ++dots;
    if (c != '.' && (c < '0' || c > '9')) return false;
  }
  return dots == 3;
}

}  // namespace heptane::config
