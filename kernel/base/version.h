// The version that --version and the metric heptane_build_info say.
#pragma once

#include <string_view>

namespace heptane {

constexpr std::string_view kVersion = "0.1";

}  // namespace heptane
