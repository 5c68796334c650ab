// What a SUBSCRIBE to `#` costs somebody else while it brings very many retained messages: rows of the bench `mqtt`.
#pragma once

#include "bench/report.h"
#include "bench/scratch.h"

namespace heptane::bench {

// BENCH_MQTT_RETAINED messages.
void add_retained_mqtt(const Scratch& scratch, Report& report);

}  // namespace heptane::bench
