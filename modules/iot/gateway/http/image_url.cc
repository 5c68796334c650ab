#include "modules/iot/gateway/http/image_url.h"

#include <algorithm>
#include <array>
#include <string>

#include "kernel/admin/request_parameters.h"
#include "kernel/net/address_scope.h"

namespace heptane::iot::devices {

namespace {

// What /etc/hosts of the usual systems says of a machine itself, by the last part of the name.
constexpr std::array<std::string_view, 13> kOwnNames = {
    "localhost",     "localhost4",   "localhost6",   "localdomain",  "localdomain4",   "localdomain6", "loopback",
    "ip6-localhost", "ip6-loopback", "ip6-localnet", "ip6-allnodes", "ip6-allrouters", "broadcasthost"};

// An address that is not public, however it is spelt (127.1, 0x7f.1), or this machine by its name. Other names lead wherever the device
// is told that they do.
bool leads_inside(const std::string& host) {
  if (net::address_bytes(host)) return !net::is_public_address(host);
  const std::string last = host.substr(host.rfind('.') + 1);
  const bool digits = last.find_first_not_of("0123456789") == std::string::npos;
  return digits || last.starts_with("0x") || std::find(kOwnNames.begin(), kOwnNames.end(), last) != kOwnNames.end();
}

// Browsers and curl take a backslash for a slash or for a part of the user, and differ in where a fragment ends the host.
bool is_read_alike(std::string_view url) {
  return std::all_of(url.begin(), url.end(), [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > 0x20 && byte != 0x7F && c != '\\' && c != '#';
  });
}

// Where no hosts are listed. What stands before the host and behind it is the device's business.
Result<void> check_unlisted(std::string_view url) {
  const size_t begin = url.find("//") + 2;
  std::string_view authority = url.substr(begin, url.find_first_of("/?", begin) - begin);
  authority.remove_prefix(authority.rfind('@') + 1);
  const Result<rules::HttpTarget> target = rules::parse_http_url(std::string(url.substr(0, begin)).append(authority));
  if (!target) return Error{target.error().code, "image.url: " + target.error().message, 0};
  if (!leads_inside(target->host)) return {};
  return admin::invalid("image.url: " + target->host + " is no public host: devices.image_allow may list it");
}

}  // namespace

// A literal address that is not public is a device's own network, or the server's: it is listed, or refused.
Result<void> check_image_url(const ImageSettings& settings, std::string_view url) {
  if (!is_read_alike(url))
    return admin::invalid("image.url holds no backslash, space, control character or fragment: encode it as %XX");
  if (settings.any_host) return check_unlisted(url);
  const Result<rules::HttpTarget> target = rules::parse_http_url(url);
  if (!target) return Error{target.error().code, "image.url: " + target.error().message, 0};
  if (settings.allowed.allows(*target)) return {};
  return admin::invalid("image.url: " + target->host + " is not on devices.image_allow");
}

}  // namespace heptane::iot::devices
