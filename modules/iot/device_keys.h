// The registry's configuration: limits that apply() judges by, so a change of one is in the log. Called at start.
#pragma once

#include <vector>

#include "kernel/config/key.h"

namespace heptane::iot {

std::vector<config::Key> device_keys();

}  // namespace heptane::iot
