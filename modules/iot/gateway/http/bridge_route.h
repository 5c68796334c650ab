// GET /api/v1/bridges: bridges to other MQTT brokers, and how they are.
#pragma once

#include <functional>

#include "kernel/net/http/router.h"
#include "modules/iot/gateway/bridge/bridges.h"

namespace heptane::iot::bridge {

// `bridges` may be null: the module is off. Called on the I/O thread, for as long as the router is used.
void add_bridge_route(http::HttpRouter& router, std::function<const Bridges*()> bridges);

}  // namespace heptane::iot::bridge
