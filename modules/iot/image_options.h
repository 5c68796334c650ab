// What the configuration says of jobs' images, and what becomes of it. The I/O thread's.
#pragma once

#include <string>
#include <vector>

#include "kernel/config/settings.h"
#include "modules/iot/gateway/http/image_route.h"

namespace heptane::iot {

struct ImageOptions {
  std::vector<std::string> allow{};  // hosts of URLs; none: any
  std::string link_key{};            // a file
  std::string link_base{};
};
const std::vector<config::Binding<ImageOptions>>& image_keys();

// The key of links is read now, out of a file of at least 32 bytes that nobody but its owner and group may look into; a line's end is
// none of it. Error: why it was not; then there are no links.
Result<void> take_images(const ImageOptions& options, devices::ImageSettings& settings);

}  // namespace heptane::iot
