// Sizes, durations and addresses as people write them. Every function refuses what it would have to guess. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::config {

// `64MiB`, `1_000_000B`: B, KiB, MiB, GiB, TiB (1024) and KB, MB, GB, TB (1000). None: no size, or above 2^63 - 1.
std::optional<int64_t> parse_size(std::string_view text);
// `500ms`, `30s`, `7d`: ns, us, ms, s, m, h, d. Nanoseconds.
std::optional<int64_t> parse_duration(std::string_view text);
// In the largest unit that divides it.
std::string size_text(int64_t bytes);
std::string duration_text(int64_t ns);

struct HostPort {
  std::string host;  // numeric where the key wants an address of this machine
  uint16_t port = 0;
};
// `127.0.0.1:9092`, `[::1]:9092`, `broker.example:9092`. Port 0 is one.
std::optional<HostPort> parse_host_port(std::string_view text);
bool is_numeric_host(std::string_view host);
// `unix:/run/heptane/admin.sock`, as long as the system lets such a path be.
bool is_unix_address(std::string_view text);

}  // namespace heptane::config
