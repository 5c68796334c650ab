// Who may be meant by a request. A page of any web site can make a browser send requests to a loopback address, under a
// name of its own choosing; so Host must name this server (DNS rebinding) and Origin, when there, must be of its own.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heptane::http {

class HostCheck {
 public:
  // localhost, 127.0.0.1 and [::1] are always allowed, with any port; `names` without ports, IPv6 in brackets.
  explicit HostCheck(std::vector<std::string> names = {});

  bool host_allowed(std::string_view host) const;      // `name`, `name:port`, `[::1]:port`
  bool origin_allowed(std::string_view origin) const;  // `http://name:port`; `null` is not

 private:
  std::vector<std::string> names_;
};

}  // namespace heptane::http
