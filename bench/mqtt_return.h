// Durable sessions that all come back at once with full queues, before and after many other messages: rows of the bench `mqtt`.
#pragma once

#include "bench/report.h"
#include "bench/scratch.h"

namespace heptane::bench {

// BENCH_MQTT_SESSIONS sessions with 1,000 messages each; BENCH_MQTT_OTHERS messages that none of them gets in between.
void add_return_mqtt(const Scratch& scratch, Report& report);

}  // namespace heptane::bench
