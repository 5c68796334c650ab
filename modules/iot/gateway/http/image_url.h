// Where the image of a job may be: a URL that devices fetch, each by a parser of its own. What parsers take for different hosts is
// refused, so that the host that is judged is the host that is asked. Pure; any thread.
#pragma once

#include <string_view>

#include "kernel/base/result.h"
#include "modules/iot/gateway/http/image_route.h"

namespace heptane::iot::devices {

// An http(s) URL: by devices.image_allow, where it is said; else any host but an address that is not public, and this machine's
// own names.
Result<void> check_image_url(const ImageSettings& settings, std::string_view url);

}  // namespace heptane::iot::devices
