// The iot module for app: the MQTT broker, devices, rules and series.
#pragma once

#include <cstdint>

#include "kernel/server/module.h"
#include "modules/iot/gateway/rules/lua_link.h"

namespace heptane::iot {

// `query_slice_ns`: so long a job of a query of series may take by the system's clock, until others have their turn. What must not
// depend on that clock has a slice that never ends.
constexpr int64_t kQuerySliceNs = 10'000'000;
std::unique_ptr<server::Module> make_module(int64_t query_slice_ns = kQuerySliceNs);
// What runs rules' Lua in a simulated server, where there are no processes; before it starts. Another module's is left alone.
void use_lua(server::Module& module, rules::LuaStarter start);

}  // namespace heptane::iot
