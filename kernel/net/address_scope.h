// Which addresses the server connects to on somebody else's word: public ones, and those that an operator has listed. What a name
// resolves to is judged by the address itself, so it does not matter who answers for the name, or how often. Pure; any thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace heptane::net {

// Numeric; as IPv6, IPv4 inside ::ffff:0:0/96. nullopt: it is no address.
using AddressBytes = std::array<uint8_t, 16>;
std::optional<AddressBytes> address_bytes(std::string_view host);

// Not loopback, link-local, private, shared (100.64/10), multicast, reserved or unspecified (RFC 6890), nor IPv6 that carries such
// an IPv4 address. False also of what is no address.
bool is_public_address(std::string_view host);

// `10.0.0.0/8`, `fd00::/8`, or one address.
class AddressBlock {
 public:
  static std::optional<AddressBlock> parse(std::string_view text);
  bool holds(std::string_view host) const;

 private:
  AddressBytes first_{};
  uint8_t bits_ = 0;
};

}  // namespace heptane::net
