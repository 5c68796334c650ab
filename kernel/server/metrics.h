// The server's metrics (docs/metrics.md): what an operator watches first. Registered in two steps, because the admin
// listener answers /metrics while the log is still being replayed.
#pragma once

#include <cstdint>

#include "kernel/base/telemetry.h"

namespace heptane::server {

class Server;

// Before recovery: the start itself, connections, HTTP, the process.
void register_start_metrics(Server& server, Telemetry& telemetry);
// After it: shard, log, snapshots, archive, machines.
void register_metrics(Server& server, Telemetry& telemetry);
// What the system says of this process, under the names that Prometheus' own exporters use (process_metrics.cc).
void register_process_metrics(Telemetry& telemetry);
// Memory of this process that is in use, in bytes; 0: the system does not say. Reads a file of /proc.
uint64_t resident_bytes();

}  // namespace heptane::server
