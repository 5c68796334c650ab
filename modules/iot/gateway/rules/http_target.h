// Where a rule posts to, and where rules may: URLs taken apart strictly, and the operator's list of hosts. An address that is not
// public is refused after resolution, whatever name led to it, unless the list holds the address itself. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/result.h"
#include "kernel/net/address_scope.h"

namespace heptane::iot::rules {

constexpr size_t kUrlBytesMax = 1'024;

// `http(s)://host[:port][/path[?query]]`; no user, no fragment, ASCII alone.
struct HttpTarget {
  bool tls = false;
  std::string host;  // lower case; of IPv6 without brackets
  uint16_t port = 0;
  std::string path;  // with its query; / where there is none

  std::string authority() const;  // of the header Host
  std::string resource() const;   // of the right to post there: always with the port
};
Result<HttpTarget> parse_http_url(std::string_view url);
// For logs and letters: a query may hold what is secret.
std::string_view without_query(std::string_view url);

// Entries: `name`, `*.name` (below it), an address or a block of addresses; each with `:port` or for any port (IPv6 then in brackets).
class AllowList {
 public:
  static Result<AllowList> parse(const std::vector<std::string>& entries);

  // The URL's host, as it is written.
  bool allows(const HttpTarget& target) const;
  // What it resolved to.
  bool allows_address(std::string_view address, uint16_t port) const;

 private:
  struct Entry {
    std::string name;  // empty: a block
    bool below = false;
    std::optional<net::AddressBlock> block{};
    uint16_t port = 0;  // 0: any
  };
  static Result<Entry> entry_of(std::string_view text);
  bool lists_address(std::string_view address, uint16_t port) const;

  std::vector<Entry> entries_;
};

}  // namespace heptane::iot::rules
