// Who may be meant by a request. A page of any web site can make a browser send requests to a loopback address, under a
// name of its own choosing; so Host must name this server (DNS rebinding), and a page that asks must be this listener's own
// or of a host that the configuration lists: another port of this machine is another site's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace heptane::http {

class HostCheck {
 public:
  // localhost, 127.0.0.1 and [::1] are always allowed as Host. `names`: `name` is allowed as Host with any port, and so are pages of
  // it at any port; `name:port` is the same as Host, but only pages at that port. IPv6 in brackets.
  explicit HostCheck(std::vector<std::string> names = {});

  bool host_allowed(std::string_view host) const;  // `name`, `name:port`, `[::1]:port`
  // `http://name:port`, of which name and port are the Host's or listed; `null` is not.
  bool origin_allowed(std::string_view origin, std::string_view host) const;

 private:
  std::vector<std::string> names_;  // that were given
};

// What a browser says of a page that asks without naming its origin, as for a picture, a script or a link (Sec-Fetch-Site, W3C
// Fetch Metadata): `cross-site` and `same-site` are another's page.
bool of_another_site(std::string_view sec_fetch_site);

}  // namespace heptane::http
