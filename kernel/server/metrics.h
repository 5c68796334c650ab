// The server's metrics: what an operator watches first. Registered once, before the first render.
#pragma once

#include "kernel/base/telemetry.h"

namespace heptane::server {

class Server;

void register_metrics(Server& server, Telemetry& telemetry);

}  // namespace heptane::server
