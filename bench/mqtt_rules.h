// Messages that a rule filters, projects and publishes, beside the same messages without a rule: rows of the bench `mqtt`.
#pragma once

#include "bench/report.h"
#include "bench/scratch.h"

namespace heptane::bench {

// BENCH_MQTT_PAIRS measurements of each way, taking turns on one server; both sides at QoS 1, synced.
void add_rules_mqtt(const Scratch& scratch, Report& report);

}  // namespace heptane::bench
