// The console's files as the build made them of console/src: read-only data of the program. Any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace heptane::console {

struct Asset {
  std::string_view path;  // `/` for the page; others have a hash of what is in them in their names
  std::string_view content_type;
  std::span<const std::byte> gzip;
  size_t bytes = 0;  // as they are
};

// The page first.
std::span<const Asset> assets();

}  // namespace heptane::console
