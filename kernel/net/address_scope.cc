#include "kernel/net/address_scope.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <string>

namespace heptane::net {

namespace {

constexpr uint8_t kMappedBits = 96;
constexpr AddressBytes kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 0, 0};

// What no stranger's word leads to.
constexpr std::string_view kReserved[] = {
    "0.0.0.0/8",    "10.0.0.0/8",   "100.64.0.0/10",  "127.0.0.0/8",   "169.254.0.0/16",  "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
    "224.0.0.0/4",  "240.0.0.0/4",  "192.88.99.0/24", "::/96",         "::ffff:0:0:0/96", "64:ff9b:1::/48",
    "100::/64",     "2001::/23",    "2001:db8::/32",  "3fff::/20",     "5f00::/16",       "fc00::/7",
    "fe80::/10",    "fec0::/10",    "ff00::/8"};

bool same_bits(const AddressBytes& one, const AddressBytes& other, uint8_t bits) {
  const size_t whole = bits / 8;
  if (!std::equal(one.begin(), one.begin() + whole, other.begin())) return false;
  const auto rest = static_cast<uint8_t>(0xFF00 >> (bits % 8));
  return bits % 8 == 0 || ((one[whole] ^ other[whole]) & rest) == 0;
}

AddressBytes mapped(const uint8_t* four) {
  AddressBytes bytes = kMapped;
  std::copy_n(four, 4, bytes.begin() + 12);
  return bytes;
}

// NAT64 (RFC 6052) and 6to4 (RFC 3056) lead to the IPv4 address within.
AddressBytes carried(const AddressBytes& bytes) {
  constexpr AddressBytes kNat64 = {0, 0x64, 0xFF, 0x9B};
  constexpr AddressBytes k6to4 = {0x20, 0x02};
  if (same_bits(bytes, kNat64, kMappedBits)) return mapped(&bytes[12]);
  return same_bits(bytes, k6to4, 16) ? mapped(&bytes[2]) : bytes;
}

std::string text_of(const AddressBytes& bytes) {
  char text[INET6_ADDRSTRLEN];
  return ::inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
}

}  // namespace

std::optional<AddressBytes> address_bytes(std::string_view host) {
  const std::string text(host.substr(0, host.find('%')));
  AddressBytes bytes{};
  if (::inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return bytes;
  uint8_t four[4];
  if (::inet_pton(AF_INET, text.c_str(), four) == 1) return mapped(four);
  return std::nullopt;
}

bool is_public_address(std::string_view host) {
  const auto bytes = address_bytes(host);
  if (!bytes) return false;
  const std::string plain = text_of(carried(*bytes));
  return std::none_of(std::begin(kReserved), std::end(kReserved),
                      [&](std::string_view block) { return AddressBlock::parse(block)->holds(plain); });
}

std::optional<AddressBlock> AddressBlock::parse(std::string_view text) {
  const size_t slash = text.find('/');
  const std::string_view address = text.substr(0, slash);
  const auto first = address_bytes(address);
  if (!first) return std::nullopt;
  const bool is_v4 = address.find(':') == std::string_view::npos;
  unsigned bits = is_v4 ? 32 : 128;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    unsigned said = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), said);
    if (error != std::errc() || end != digits.data() + digits.size() || said > bits) return std::nullopt;
    bits = said;
  }
  AddressBlock block;
  block.first_ = *first;
  block.bits_ = static_cast<uint8_t>(bits + (is_v4 ? kMappedBits : 0));
  return block;
}

bool AddressBlock::holds(std::string_view host) const {
  const auto bytes = address_bytes(host);
  return bytes && same_bits(*bytes, first_, bits_);
}

}  // namespace heptane::net
