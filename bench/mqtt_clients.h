// What MQTT clients cost that do nothing, and what it costs when many come back at once: rows of the bench `mqtt`.
#pragma once

#include <cstddef>

#include "bench/report.h"
#include "bench/scratch.h"

namespace heptane::bench {

// Raises the limit of open files as far as it goes, for what is started afterwards too; returns it.
size_t allow_descriptors();

// Memory of an idle connection with one subscription: BENCH_MQTT_CLIENTS, or as many as `descriptors` allow.
void add_idle_mqtt(const Scratch& scratch, size_t descriptors, Report& report);
// BENCH_MQTT_RECONNECTS clients connect, some at a time, each by password or token; a bystander publishes meanwhile.
void add_reconnect_mqtt(const Scratch& scratch, Report& report);
// The first connection of each of many users: no password is remembered.
void add_first_connects_mqtt(const Scratch& scratch, Report& report);

}  // namespace heptane::bench
