// JSON by the one reader as a tree. Pure; any thread.
#pragma once

#include "kernel/net/http/json.h"
#include "modules/iot/domain/devices/json_tree.h"

namespace heptane::iot::devices {

JsonTree tree_of(const http::JsonValue& value);

}  // namespace heptane::iot::devices
