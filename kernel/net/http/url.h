// The request target (RFC 3986, RFC 9112 §3.2): path and query taken apart and decoded.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace heptane::http {

// Nothing when a % is not followed by two hexadecimal digits. `plus_is_space`: in queries.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space);

struct Target {
  std::string path;       // begins with /, still encoded
  std::string authority;  // of an absolute target (`http://host/path`), else empty
  std::vector<std::pair<std::string, std::string>> query;
};
// Nothing when the target is malformed, or neither a path nor an absolute http URL.
std::optional<Target> parse_target(std::string_view target);

}  // namespace heptane::http
