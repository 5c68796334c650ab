// What an HTTP/1.1 listener says below HTTP: its name in ALPN (RFC 7301), and the answer to a client for whom there is no room.
#pragma once

#include <array>
#include <string_view>

namespace heptane::http {

constexpr std::array<std::string_view, 1> kHttpAlpn = {"http/1.1"};
constexpr std::string_view kHttpRefusal =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\nConnection: close\r\n\r\n";

}  // namespace heptane::http
