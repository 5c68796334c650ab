#include "modules/iot/domain/devices/image_link.h"

#include <charconv>

namespace heptane::iot::devices {

std::string image_link_text(std::string_view digest, int64_t expires_s) {
  return "heptane device image\n" + std::string(digest) + '\n' + std::to_string(expires_s);
}

std::string image_link(std::string_view digest, int64_t expires_s, std::string_view signature) {
  return std::string(kImagePath) + std::string(digest) + "?expires=" + std::to_string(expires_s) +
         "&signature=" + std::string(signature);
}

std::optional<int64_t> link_expiry(std::string_view text) {
  constexpr size_t kDigitsMax = 12;
  int64_t seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, seconds);
  const bool good = error == std::errc() && stopped == end && text.size() <= kDigitsMax && seconds > 0;
  return good && std::to_string(seconds) == text ? std::optional(seconds) : std::nullopt;
}

}  // namespace heptane::iot::devices
