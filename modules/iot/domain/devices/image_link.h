// Links by which a device fetches a job's image without a right of its own: `PATH?expires=SECONDS&signature=HEX`, good until then for
// that blob alone and for whoever has it. Signed with HMAC-SHA-256 and a key that the operator keeps (whoever signs and checks gives
// the function: nothing here knows it). Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace heptane::iot::devices {

constexpr std::string_view kImagePath = "/api/v1/device-images/";
constexpr int64_t kLinkMinutesMax = 7 * 24 * 60;

// What is signed for the blob of this SHA-256 (64 hexadecimal digits) until then, seconds since 1970.
std::string image_link_text(std::string_view digest, int64_t expires_s);
// The link, of a signature of that text.
std::string image_link(std::string_view digest, int64_t expires_s, std::string_view signature);
// `expires=`, as it stands in a link; nullopt: it is none.
std::optional<int64_t> link_expiry(std::string_view text);

}  // namespace heptane::iot::devices
