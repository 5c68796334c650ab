// Base64, the standard alphabet with padding (RFC 4648 §4). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace heptane {

std::string base64_encoded(std::string_view bytes);
// Nothing when it is not base64: an alphabet, a length or padding that is not its own, bits left over that are not zero.
std::optional<std::string> base64_decoded(std::string_view text);

}  // namespace heptane
