// Log time as people read it: `2026-11-28T18:00:00.000000000Z`. Pure; any thread.
#pragma once

#include <string>

#include "kernel/base/ids.h"

namespace heptane {

// UTC, ISO 8601 with nine digits of fraction; also before 1970.
std::string time_text(LogTime time);

}  // namespace heptane
